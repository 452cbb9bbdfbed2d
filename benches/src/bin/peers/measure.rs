use std::{collections::BTreeMap, env, fs, process::Command};

use tower_sse_benches::sockets::median;

use crate::{Subject, foreign, work::Work};

/// Measures with all servers in rounds, every second round in the reverse order, and prints tables
/// of the medians, with the lowest and the highest figure behind them.
pub(crate) fn measure(arguments: &[&str]) {
    let rounds = arguments.first().map_or(3, |rounds| rounds.parse().expect("a number of rounds"));
    let wanted = arguments.get(1..).unwrap_or_default();
    let only: Vec<_> =
        env::var("PEERS").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let directory = env::temp_dir().join(format!("tower-sse-certificate-{}", std::process::id()));
    fs::create_dir_all(&directory).expect("a directory");
    certify(&directory);
    let mut subjects = Vec::new();
    for subject in Subject::ALL {
        if !only.is_empty() && !only.iter().any(|name| name == subject.name()) {
            continue;
        }
        match missing(subject) {
            None => subjects.push(subject),
            Some(what) => println!("{} is left out: {what}\n", subject.name()),
        }
    }
    for work in Work::ALL {
        if !wanted.is_empty() && !wanted.contains(&&*work.name()) {
            continue;
        }
        let mut figures: BTreeMap<&str, Vec<Vec<f64>>> = BTreeMap::new();
        let mut failed: BTreeMap<&str, String> = BTreeMap::new();
        // The servers differ least in the paced works, so these need the most rounds.
        let rounds = if matches!(work, Work::Paced { .. }) { rounds } else { rounds.min(2) };
        for round in 0..rounds {
            let mut order = subjects.clone();
            if round % 2 == 1 {
                order.reverse();
            }
            for subject in order {
                match work.measure(subject, &directory) {
                    Ok(row) => {
                        eprintln!("{} {} {row:.2?}", work.name(), subject.name());
                        figures.entry(subject.name()).or_default().push(row);
                    }
                    Err(error) => {
                        eprintln!("{} {} {error}", work.name(), subject.name());
                        failed.insert(subject.name(), error.to_string());
                    }
                }
            }
        }
        println!("## {}\n\n| server | {} |", work.name(), work.columns().join(" | "));
        println!("|---|{}", "---|".repeat(work.columns().len()));
        for subject in &subjects {
            let rows = figures.get(subject.name()).map_or(&[][..], Vec::as_slice);
            let cells: Vec<_> = (0..work.columns().len())
                .map(|at| cell(rows.iter().filter_map(|row| row.get(at).copied()).collect()))
                .collect();
            let failed =
                failed.get(subject.name()).map_or(String::new(), |why| format!(" ({why})"));
            println!("| {}{failed} | {} |", subject.name(), cells.join(" | "));
        }
        println!();
    }
    _ = fs::remove_dir_all(directory);
}

fn cell(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let text = |figure: f64| match figure.abs() {
        0.0 => "0".to_owned(),
        0.0..10.0 if figure.fract() != 0.0 => format!("{figure:.2}"),
        0.0..1000.0 if figure.fract() != 0.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    };
    match &figures[..] {
        [] => "–".to_owned(),
        [first, .., last] if first != last => {
            let middle = median(figures.clone()).unwrap_or_default();
            format!("{} ({}–{})", text(middle), text(*first), text(*last))
        }
        [first, ..] => text(*first),
    }
}

/// Returns why this server is left out, or `None` if it can be measured.
fn missing(subject: Subject) -> Option<&'static str> {
    let root = foreign::unpacked();
    let is_there = match subject {
        Subject::Nchan => root.join("usr/lib/nginx/modules/ngx_nchan_module.so").exists(),
        Subject::Pushpin => root.join("usr/bin/pushpin").exists(),
        Subject::BetterSse => {
            root.parent().is_some_and(|peers| peers.join("node_modules/better-sse").exists())
        }
        _ => true,
    };
    (!is_there).then_some("its package could not be installed")
}

/// Makes a key and a certificate for `localhost`.
fn certify(directory: &std::path::Path) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                     -keyout key -out certificate -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE";
    let mut openssl = Command::new("openssl");
    let made = openssl.args(arguments.split_ascii_whitespace()).current_dir(directory).output();
    assert!(made.expect("openssl").status.success());
}
