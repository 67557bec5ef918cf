/** How alike two vectors of floats are, calculated in floats as Cassandra does. Source: jvector's VectorSimilarityFunction. */
import { invalid } from '../../base/errors.ts'

export function floats(bytes: Buffer): Float32Array {
  const values = new Float32Array(bytes.length / 4)
  for (let i = 0; i < values.length; i++) values[i] = bytes.readFloatBE(i * 4)
  return values
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum = Math.fround(sum + Math.fround(a[i]! * b[i]!))
  return sum
}

export function squareDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) {
    const difference = Math.fround(a[i]! - b[i]!)
    sum = Math.fround(sum + Math.fround(difference * difference))
  }
  return sum
}

export function cosine(a: Float32Array, b: Float32Array): number {
  const lengths = dot(a, a) * dot(b, b)
  if (lengths === 0) throw invalid("Function system.similarity_cosine doesn't support all-zero vectors.")
  return (1 + dot(a, b) / Math.sqrt(lengths)) / 2
}
