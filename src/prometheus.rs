//! Lines in the [text format of Prometheus][format].
//!
//! [format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

use std::fmt::{Display, Formatter, Result, Write};

/// Writes a counter, whose name should end with `_total`.
pub(crate) fn counter(f: &mut Formatter<'_>, name: &str, help: &str, count: u64) -> Result {
    head(f, name, help, "counter")?;
    writeln!(f, "{name} {count}")
}

/// Writes a metric with a sample for each value of a label.
pub(crate) fn labelled<L: Display>(
    f: &mut Formatter<'_>,
    kind: &str,
    (name, help): (&str, &str),
    label: &str,
    samples: impl Iterator<Item = (L, u64)>,
) -> Result {
    head(f, name, help, kind)?;
    for (value, count) in samples {
        writeln!(f, "{name}{{{label}=\"{value}\"}} {count}")?;
    }
    Ok(())
}

pub(crate) fn gauge(f: &mut Formatter<'_>, name: &str, help: &str, value: impl Display) -> Result {
    head(f, name, help, "gauge")?;
    writeln!(f, "{name} {value}")
}

fn head(f: &mut Formatter<'_>, name: &str, help: &str, kind: &str) -> Result {
    writeln!(f, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

/// The value of a label.
pub(crate) struct Escaped<'t>(pub(crate) &'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}
