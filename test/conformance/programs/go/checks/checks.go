// Package checks is what all programs of this language say of their checks: a line each, `ok` or `not ok`; exit status 1 when one failed.
package checks

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
)

var failed = 0
var input = bufio.NewReader(os.Stdin)

func Check(name string, got, wanted any) {
	if reflect.DeepEqual(got, wanted) {
		fmt.Println("ok -", name)
		return
	}
	failed++
	fmt.Printf("not ok - %s: got %v, wanted %v\n", name, got, wanted)
}

// Must ends the program when nothing can be checked any more.
func Must(err error) {
	if err != nil {
		fmt.Println("not ok -", err)
		os.Exit(1)
	}
}

// Phase waits for a line of input before the program goes on.
func Phase(name string) {
	fmt.Println("phase", name)
	_, _ = input.ReadString('\n')
}

func Finish() {
	if failed > 0 {
		os.Exit(1)
	}
}
