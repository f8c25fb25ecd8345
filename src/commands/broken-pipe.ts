/**
 * Ends the process quietly when whoever reads its output has gone (`| head`): there is nobody left to tell, and what
 * the verb was doing was for them. Call it before the first line is printed.
 */
export function endWithReader(): void {
  for (const stream of [process.stdout, process.stderr]) {
    if (watched.has(stream)) continue;
    watched.add(stream);
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      process.exit();
    });
  }
}

const watched = new WeakSet<NodeJS.WriteStream>();
