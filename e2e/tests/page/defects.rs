//! Deliberate faults in the module, each of which the model finds.

use crate::{model::run, rig::PAGE, support::Directory, *};

struct Defect {
    name: &'static str,
    /// The transport that shows it.
    transport: &'static str,
    /// What stands in the module, and what stands there instead.
    edits: &'static [(&'static str, &'static str)],
    /// Texts of violations, between bars.
    found: &'static str,
}

const DEFECTS: [Defect; 19] = [
    Defect {
        name: "reopens a stream without the last id",
        transport: "native",
        edits: &[("if (this.#last) url.searchParams.set(\"last\", this.#last);", "")],
        found: "are lost",
    },
    Defect {
        name: "takes an id before its event is whole",
        transport: "fetch",
        edits: &[(
            "!value.includes(\"\\0\")) id = value;",
            "!value.includes(\"\\0\")) onEvent({ data: null, id: id = value });",
        )],
        found: "are lost",
    },
    Defect {
        name: "keeps half an event after a cut",
        transport: "fetch",
        edits: &[
            ("let rest = \"\", looked", "let { rest = \"\" } = globalThis.kept ?? {}, looked"),
            ("looked = rest.length;", "looked = rest.length; globalThis.kept = { rest };"),
        ],
        found: "is another event|are lost",
    },
    Defect {
        name: "reads characters piece by piece",
        transport: "fetch",
        edits: &[("decode(value, { stream: true })", "decode(value)")],
        found: "is another event",
    },
    Defect {
        name: "never looks for silence",
        transport: "fetch",
        edits: &[("else if (!this.#isDoubted) this.#doubt();", "else if (!this.#isDoubted) {}")],
        found: "after freeze: no|during",
    },
    Defect {
        name: "hears no heartbeats",
        transport: "native",
        edits: &[("\"gap\", \"heartbeat\"]", "\"gap\"]")],
        found: "after freeze: no",
    },
    Defect {
        name: "stops at a 502",
        transport: "fetch",
        edits: &[("|| status >= 500", "|| status > 502")],
        found: "after 502: no|after flap: no",
    },
    Defect {
        name: "stops at a 429",
        transport: "native",
        edits: &[("[408, 425, 429]", "[408, 425]")],
        found: "after 429 5: no",
    },
    Defect {
        name: "ignores Retry-After",
        transport: "fetch",
        edits: &[("after * between(1, 1.2)", "0")],
        found: "in spite of Retry-After",
    },
    Defect {
        name: "stops at a page that asks for a log-in",
        transport: "native",
        edits: &[(
            "if (why === \"network\" || why === \"type\")",
            "if (why === \"type\") return null;\nif (why === \"network\")",
        )],
        found: "after log-in: no",
    },
    Defect {
        name: "goes on after a 401",
        transport: "fetch",
        edits: &[("[408, 425, 429]", "[401, 408, 425, 429]")],
        found: "open after 401",
    },
    Defect {
        name: "goes on after it is closed",
        transport: "fetch",
        edits: &[
            ("while (this.#state !== CLOSED)", "while (true)"),
            ("if (this.#state === CLOSED || end.why", "if (end.why"),
        ],
        found: "requests after",
    },
    Defect {
        name: "asks for no status",
        transport: "native",
        edits: &[(
            "return why === \"status\" ? { ...end, ...await this.#ask() } : end;",
            "return end;",
        )],
        found: ": no ",
    },
    Defect {
        name: "never polls",
        transport: "fetch",
        edits: &[("return this.isOn || this.#isNext ? this.#longest : 0;", "return 0;")],
        found: "during hold: no|during blocks: no",
    },
    Defect {
        name: "polls for ever",
        transport: "native",
        edits: &[(
            "this.#until = now() + this.#span * between(1, 1.5);",
            "this.#until = Infinity;",
        )],
        found: "polls for ever",
    },
    Defect {
        name: "waits for ever for a response",
        transport: "fetch",
        edits: &[("FIRST * 2 ** tries,", "Infinity,")],
        found: "during hold: no|during blocks: no|after freeze: no",
    },
    Defect {
        name: "backs off without a limit",
        transport: "fetch",
        edits: &[(
            "Math.min(LONGEST_WAIT, 1000 * 2 ** this.#failures++)",
            "1000 * 2 ** this.#failures++",
        )],
        found: ": no |longer than",
    },
    Defect {
        name: "backs off after good streams",
        transport: "fetch",
        edits: &[("if (isGood || isAnswer) this.#failures = 0;", "")],
        found: "the first failure waits",
    },
    Defect {
        name: "makes any number of requests",
        transport: "native",
        edits: &[("if (early > 0 && this.#failures > 0)", "if (false)")],
        found: "requests in 10 s",
    },
];

impl Defect {
    /// Writes the module with this fault into a directory.
    fn write(&self, directory: &Directory) -> String {
        let mut module = fs::read_to_string(format!("{PAGE}/tower-sse.js")).unwrap();
        for (old, new) in self.edits {
            assert_eq!(module.matches(old).count(), 1, "{}: {old}", self.name);
            module = module.replace(old, new);
        }
        let path = directory.path().join("tower-sse.mjs");
        fs::write(&path, module).unwrap();
        format!("file://{}", path.display())
    }

    /// Runs the model with more and more seeds, until it finds the fault.
    async fn is_found(&self) -> bool {
        let directory = Directory::new("defect");
        let file = self.write(&directory);
        for first in (1..100).step_by(16) {
            let arguments = [self.transport, &first.to_string(), "16", &file];
            let Some((succeeds, lines)) = run("model.mjs", &arguments).await else { return true };
            if !succeeds {
                let is_found = |line: &str| self.found.split('|').any(|text| line.contains(text));
                return lines.iter().any(|line| line.starts_with("seed ") && is_found(line));
            }
        }
        false
    }
}

/// Each fault fits the module, so that `.ci/slow page` can run the model with it.
#[test]
fn defects_fit_the_module() {
    let directory = Directory::new("defects");
    for defect in DEFECTS {
        defect.write(&directory);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `.ci/slow page`"]
async fn each_deliberate_fault_in_the_module_is_found() {
    let mut missed = Vec::new();
    let chosen = env::var("TOWER_SSE_DEFECT").unwrap_or_default();
    let defects: Vec<_> = DEFECTS.iter().filter(|it| it.name.contains(&chosen)).collect();
    for pair in defects.chunks(2) {
        let found = futures_util::future::join_all(pair.iter().map(|it| it.is_found())).await;
        for (defect, found) in pair.iter().zip(found) {
            println!("{} {}", if found { "found" } else { "MISSED" }, defect.name);
            missed.extend((!found).then_some(defect.name));
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
