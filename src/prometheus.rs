//! Lines in the [text format of Prometheus][format].
//!
//! [format]: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

use std::fmt::{Display, Formatter, Result};

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
    for (value, count) in counts {
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
