/** Runs nft with a script on its standard input. */
import { spawn } from 'node:child_process';
import { messageOf } from '../../base/errors.ts';

/** A transaction takes milliseconds; a program that hangs must not hold up the next for ever. */
const timeoutMs = 20_000;
/** Of what nft prints, characters. */
const maxOutput = 4096;

/** Applies a script, in one transaction. Returns what nft says when it refuses; undefined on success. Never rejects. */
export type RunNft = (script: string) => Promise<string | undefined>;

/** `program`: path of nft. */
export function nftProgram(program: string): RunNft {
  return (script) =>
    new Promise((resolve) => {
      const child = spawn(program, ['-f', '-'], {
        stdio: ['pipe', 'ignore', 'pipe'],
        timeout: timeoutMs,
        killSignal: 'SIGKILL',
      });
      let output = '';
      child.stderr.setEncoding('utf8');
      child.stderr.on('data', (text: string) => {
        output = (output + text).slice(0, maxOutput);
      });
      // It may end before it has read everything; its words say why.
      child.stdin.on('error', () => undefined);
      child.once('error', (error) => resolve(messageOf(error)));
      child.once('close', (code) =>
        resolve(code === 0 ? undefined : output.trim() || `nft ended with ${code ?? 'a signal'}`),
      );
      child.stdin.end(script);
    });
}
