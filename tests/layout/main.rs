//! What no compiler checks. For code: the imports that CONTRIBUTING allows between files and
//! folders, and the sizes and names of files. For crates and pages: the versions of the crates, and
//! the pages' length, index and figures.

mod constants;
mod figures;
mod files;
mod pages;
mod paths;
mod rooms;
mod versions;

use std::fs;

use crate::rooms::Tree;

const CRATES: [&str; 6] = [
    "src",
    "crates/sse-check/src",
    "crates/tower-sse-broker/src",
    "crates/tower-sse-postgres/src",
    "crates/tower-sse-redis/src",
    "crates/tower-sse-sqlite/src",
];

/// Returns the path and the text of each Rust file below `root`, without tests.
fn sources(root: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap().to_owned();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
        } else if path.is_dir() {
            files.extend(sources(&name));
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(path).unwrap();
            let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            files.push((name, code.to_owned()));
        }
    }
    files
}

/// Returns what stands in backticks in each row of the table in CONTRIBUTING whose first line
/// begins with `header`.
fn rows(header: &str) -> Vec<Vec<String>> {
    let contributing = fs::read_to_string("CONTRIBUTING.md").unwrap();
    let names = |row: &str| row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = contributing.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(names).collect()
}

#[test]
fn rooms_import_only_rooms_before_them_in_their_row() {
    let orders = rows("| folder");
    let crates = CRATES.map(|root| {
        assert!(orders.iter().any(|order| order[0] == root), "no row for {root}");
        let tree = Tree::read(root);
        (root, tree.arrows(), tree)
    });
    let mut wrong = Vec::new();
    for order in orders {
        let (folder, rooms) = order.split_first().expect("a folder");
        let (_, arrows, tree) =
            crates.iter().find(|(root, ..)| folder.starts_with(root)).expect("a folder of a crate");
        for (room, is_folder) in tree.children(folder) {
            assert!(!is_folder || rooms.contains(&room), "{folder}/{room} is in no row");
        }
        for room in rooms {
            assert!(tree.children(folder).contains_key(room), "there is no {folder}/{room}");
        }
        let place = |room: &str| rooms.iter().position(|listed| listed == room);
        for arrow in arrows.iter().filter(|arrow| arrow.folder == *folder) {
            let places = place(&arrow.from_room).zip(place(&arrow.to_room));
            if places.is_some_and(|(from, to)| from < to) {
                wrong.push(arrow.to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "arrows up:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_or_folders_import_each_other_in_a_circle() {
    let circles = CRATES.iter().flat_map(|root| rooms::circles(Tree::read(root).arrows()));
    let circles: Vec<_> = circles.map(|arrow| arrow.to_string()).collect();
    assert!(circles.is_empty(), "arrows in circles:\n{}", circles.join("\n"));
}
