// What the test reads: a line of JSON for everything that happens.

export const report = (line) => console.log(JSON.stringify(line));

let step = () => {};
// The process ends with its test.
process.stdin.on('end', () => process.exit()).on('data', () => step()).resume();

/** Waits until the test lets the client go on. */
export const goOn = () => new Promise((resolve) => { step = resolve; });

/** Reports an error as the end, with its class and what the server says of it. */
export const fail = (error) => report({
    end: `${error?.name}: ${error?.message}`,
    kind: error?.constructor.name,
    error: error?.error,
});
