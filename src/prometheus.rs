//! Lines in the [text format of Prometheus][format].
//!
//! [format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

use std::fmt::{Display, Formatter, Result, Write};

/// Writes a counter, whose name should end with `_total`.
pub(crate) fn counter(f: &mut Formatter<'_>, name: &str, help: &str, count: u64) -> Result {
    head(f, name, help, "counter")?;
    writeln!(f, "{name} {count}")
}

/// Writes a counter with a sample for each value of a label.
pub(crate) fn labelled_counter<L: Display>(
    f: &mut Formatter<'_>,
    name: &str,
    help: &str,
    label: &str,
    counts: impl Iterator<Item = (L, u64)>,
) -> Result {
    head(f, name, help, "counter")?;
    samples(f, name, label, counts)
}

/// Writes a gauge with a sample for each value of a label.
pub(crate) fn labelled_gauge<L: Display>(
    f: &mut Formatter<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: impl Iterator<Item = (L, u64)>,
) -> Result {
    head(f, name, help, "gauge")?;
    samples(f, name, label, values)
}

fn samples<L: Display>(
    f: &mut Formatter<'_>,
    name: &str,
    label: &str,
    values: impl Iterator<Item = (L, u64)>,
) -> Result {
    for (value, count) in values {
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
