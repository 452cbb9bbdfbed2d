// Prints a line of JSON for everything that happens. The test reads these lines.

export const report = (line) => console.log(JSON.stringify(line));

let step = () => {};
// The process ends with its test.
process.stdin.on('end', () => process.exit()).on('data', () => step()).resume();

/** Waits until the test lets the client go on. */
export const goOn = () => new Promise((resolve) => { step = resolve; });

/** Reports an error as the end, with its class and the error that the server sent. */
export const fail = (error) => report({
    end: `${error?.name}: ${error?.message}`,
    kind: error?.constructor.name,
    error: error?.error,
});
