#!/usr/bin/env node
/** The `polyxena-nodetool` command: what an operator asks a node, in nodetool's words and columns. */
import { runTool } from './nodetool/run.ts'

process.exitCode = await runTool(process.argv.slice(2))
