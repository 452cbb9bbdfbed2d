use std::fs;

/// Returns the number of words outside of code blocks and of the addresses of links.
fn words(page: &str) -> usize {
    let mut is_code = false;
    let text = page.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        let is_link = line.starts_with('[') && line.contains("]: ");
        !(is_code || is_fence || is_link)
    });
    let words = text.flat_map(str::split_whitespace);
    words.filter(|word| word.contains(char::is_alphanumeric)).count()
}

#[test]
fn front_pages_and_guide_are_short() {
    let limits = [("README.md", 520), ("CONTRIBUTING.md", 2_300), ("docs/decisions.md", 3_000)];
    for (page, limit) in limits {
        let words = words(&fs::read_to_string(page).unwrap());
        assert!(words <= limit, "{page} has {words} words, which is more than {limit}");
    }
    let guide: Vec<_> =
        fs::read_dir("docs/guide").unwrap().map(|page| page.unwrap().path()).collect();
    assert!(guide.len() <= 23, "{} pages", guide.len());
    let words_of_guide: usize =
        guide.iter().map(|page| words(&fs::read_to_string(page).unwrap())).sum();
    assert!(words_of_guide <= 10_400, "the guide has {words_of_guide} words");
    assert_eq!(words("one `two`\n```sh\nthree\n```\n| four | - |\n[five]: https://six\n"), 3);
}

#[test]
fn index_of_guide_lists_each_page_once() {
    let index = fs::read_to_string("docs/README.md").unwrap();
    let declared = fs::read_to_string("src/guide.rs").unwrap();
    for page in fs::read_dir("docs/guide").unwrap() {
        let page = page.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        let link = format!("[{page}]");
        let listed = index.lines().filter(|line| !line.starts_with('[') && line.contains(&link));
        assert_eq!(listed.count(), 1, "{page} in docs/README.md");
        assert!(index.contains(&format!("\n{link}: ")), "the address of {page} in docs/README.md");
        assert!(declared.contains(&format!("!({page}")), "{page} in src/guide.rs");
    }
}
