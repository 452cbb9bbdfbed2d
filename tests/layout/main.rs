//! The directions in which the files of each crate import each other, as CONTRIBUTING lists them, and
//! the versions of the crates and the length of the front pages.

mod files;
mod pages;
mod paths;
mod rooms;
mod versions;

use std::fs;

use crate::rooms::Tree;

/// The sources of the crates.
const CRATES: [&str; 6] = [
    "src",
    "crates/sse-check/src",
    "crates/tower-sse-broker/src",
    "crates/tower-sse-postgres/src",
    "crates/tower-sse-redis/src",
    "crates/tower-sse-sqlite/src",
];

/// Rows of a table in CONTRIBUTING: those after the line that begins with `header`.
fn rows(header: &str) -> Vec<Vec<String>> {
    let contributing = fs::read_to_string("CONTRIBUTING.md").unwrap();
    let names = |row: &str| row.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    let rows = contributing.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(names).collect()
}

#[test]
fn rooms_import_only_rooms_before_them_in_their_row() {
    let crates = CRATES.map(|root| {
        let tree = Tree::read(root);
        let arrows = tree.arrows();
        (root, tree, arrows)
    });
    let orders = rows("| folder");
    for root in CRATES {
        assert!(orders.iter().any(|order| order[0] == root), "no row for {root}");
    }
    let mut wrong = Vec::new();
    for order in orders {
        let (folder, rooms) = order.split_first().expect("a folder");
        let (_, tree, arrows) =
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
    let circles: Vec<_> =
        CRATES.iter().flat_map(|root| rooms::circles(&Tree::read(root).arrows())).collect();
    assert!(circles.is_empty(), "circles:\n{}", circles.join("\n"));
}
