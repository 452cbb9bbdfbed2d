// Reads a driver's arguments, and prints its lines.
const words = globalThis.Deno ? ["", ...Deno.args] : process.argv.slice(1);

export const client = words[1];
export const situations = words.slice(2).map(word => {
  const split = word.indexOf("=");
  return [word.slice(0, split), word.slice(split + 1)];
});

export const event = (at, name, data = "") =>
  console.log(JSON.stringify({ at, event: name ?? "", data: String(data).slice(0, 40), size: String(data).length }));
export const over = (at, error = "") => console.log(JSON.stringify({ at, over: error && String(error) }));

globalThis.process?.on("uncaughtException", error => console.error(error));
globalThis.process?.on("unhandledRejection", error => console.error(error));
