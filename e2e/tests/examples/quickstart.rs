const EXAMPLE: &str = include_str!("../../../examples/quickstart.rs");
const README: &str = include_str!("../../../README.md");

#[test]
fn readme_shows_the_program_of_the_example() {
    let (_, program) = EXAMPLE.split_once("\n\n").unwrap();
    let (_, shown) = README.split_once("```rust,no_run\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    assert_eq!(shown, program);
}
