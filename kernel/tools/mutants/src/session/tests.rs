use super::*;

/// A crate with the name of the real one, and a test for each way to end.
const SOURCE: &str = "
    pub fn one() -> u64 { 1 }
    pub fn two() -> u64 { 2 }
    #[cfg(rundown_loom)]
    pub fn three() -> u64 { 3 }
    pub fn done() -> bool { true }
    #[cfg(test)]
    mod tests {
        #[test]
        fn one() { assert_eq!(super::one(), 1); }
    }
";

const TESTS: &str = "
    #[test]
    fn two() { assert!(rundown::two() > 0); }
    #[test]
    fn done() { while !rundown::done() {} }
    #[cfg(rundown_loom)]
    #[test]
    fn three() { assert_eq!(rundown::three(), 3); }
";

const LIST: &str = r#"
    [[mutant]]
    name = "failing"
    file = "src/lib.rs"
    find = "{ 1 }"
    replace = "{ 0 }"
    wrong = "One is not zero."
    promise = "S1"
    killed_by = { kind = "unit", test = "one" }

    [[mutant]]
    name = "failing-model"
    file = "src/lib.rs"
    find = "{ 3 }"
    replace = "{ 4 }"
    wrong = "Three is not four."
    promise = "S1"
    killed_by = { kind = "loom", binary = "all", test = "three" }

    [[mutant]]
    name = "hanging"
    file = "src/lib.rs"
    find = "{ true }"
    replace = "{ false }"
    wrong = "It is never done."
    promise = "S1"
    hangs = true
    killed_by = { kind = "host", binary = "all", test = "done" }

    [[mutant]]
    name = "surviving"
    file = "src/lib.rs"
    find = "{ 2 }"
    replace = "{ 3 }"
    wrong = "Two is not three."
    promise = "S1"
    killed_by = { kind = "host", binary = "all", test = "two" }

    [[mutant]]
    name = "no-rust"
    file = "src/lib.rs"
    find = "{ 2 }"
    replace = "{ }"
    wrong = "It is not even a program."
    promise = "S1"
    killed_by = { kind = "host", binary = "all", test = "two" }

    [[mutant]]
    name = "outdated"
    file = "src/lib.rs"
    find = "{ 5 }"
    replace = "{ 6 }"
    wrong = "There is no five."
    promise = "S1"
    killed_by = { kind = "host", binary = "all", test = "two" }
"#;

/// Slack for tests that take no time.
const SHORT: Duration = Duration::from_secs(3);

/// A workspace with that crate.
fn toy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let manifest = "[package]\nname = \"rundown\"\nedition = \"2024\"\n[features]\nloom = []";
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"kernel/rundown\"]";
    for (file, text) in [
        ("Cargo.toml", workspace),
        ("kernel/rundown/Cargo.toml", manifest),
        ("kernel/rundown/src/lib.rs", SOURCE),
        ("kernel/rundown/tests/all.rs", TESTS),
    ] {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        fs::write(file, text).expect("written");
    }
    folder
}

fn run<'a>(folder: &Path, mutants: &[&'a Mutant], slack: Duration) -> Result<Vec<Judged<'a>>> {
    let work = &folder.join("target/mutants");
    Run {
        root: folder,
        work,
        slack,
    }
    .run(mutants, 2)
}

#[test]
fn each_end_has_its_verdict() {
    let folder = toy();
    let list = list::parse(LIST).expect("a list");
    // Those that end do so in their own time, on a busy host, too.
    let (hanging, ending): (Vec<&Mutant>, Vec<&Mutant>) = list.iter().partition(|m| m.hangs);
    let mut judged = run(folder.path(), &ending, SLACK).expect("all killers pass");
    judged.extend(run(folder.path(), &hanging, SHORT).expect("its killer passes"));
    let verdicts: Vec<String> = judged.iter().map(|one| one.verdict.to_string()).collect();
    let expected = [
        "killed (failed): tests::one",
        "killed (failed): three",
        "SURVIVED",
        "ERROR: does not compile: error",
        "ERROR: `find` is not in src/lib.rs",
        "killed (hung)",
    ];
    assert_eq!(verdicts.len(), expected.len());
    for (verdict, expected) in verdicts.iter().zip(expected) {
        assert!(verdict.starts_with(expected), "{verdict}\nnot {expected}");
    }
    let source = list::read(&folder.path().join("kernel/rundown/src/lib.rs")).expect("a file");
    assert_eq!(source, SOURCE, "the original was touched");
}

#[test]
fn a_killer_that_proves_nothing_is_refused() {
    let folder = toy();
    let no_test = LIST.replace(
        "binary = \"all\", test = \"two\"",
        "binary = \"all\", test = \"zero\"",
    );
    let list = list::parse(&no_test).expect("a list");
    let error = run(folder.path(), &[&list[3]], SHORT).expect_err("there is no such test");
    assert!(format!("{error:#}").contains("no test's name"), "{error:#}");

    let tests = folder.path().join("kernel/rundown/tests/all.rs");
    fs::write(tests, TESTS.replace("> 0", "> 2")).expect("written");
    let list = list::parse(LIST).expect("a list");
    let error = run(folder.path(), &[&list[4]], SHORT).expect_err("the killer fails anyway");
    assert!(format!("{error:#}").contains("failed: two"), "{error:#}");
}
