use super::*;
use crate::list;
use crate::tree::git;

/// A crate with the name of the real one.
const SOURCE: &str = "
    pub fn two() -> u64 { 2 }
    #[cfg(rundown_loom)]
    pub fn three() -> u64 { 3 }
    pub fn guest() -> u64 { 7 }
    #[test]
    fn one() { assert_eq!(1, 1); }
";

const TESTS: &str = "
    #[test]
    fn two() { assert!(rundown::two() > 0); }
    #[cfg(rundown_loom)]
    #[test]
    fn three() { assert_eq!(rundown::three(), 3); }
";

/// In place of a guest: as a whole it passes, broken it fails with seed 5, the third.
const SCENARIO: &str = r#"
    mod scenario {
        #[test]
        fn smp_2() {
            let source = std::fs::read_to_string("../kernel/rundown/src/lib.rs").unwrap();
            let seed: u32 = std::env::var("TESTS_SEED").unwrap().parse().unwrap();
            assert!(seed != 5 || source.contains("{ 7 }"), "broken");
        }
    }
"#;

const LIST: &str = r#"
    file = "src/lib.rs"
    wrong = "It is."
    killed_by = "host all two"
    [S1.failing]
    find = "(1, 1)"
    replace = "(1, 0)"
    killed_by = "unit one"
    [S1.failing-model]
    find = "{ 3 }"
    replace = "{ 4 }"
    killed_by = "loom all three"
    [S1.no-rust]
    find = "{ 2 }"
    replace = "{ }"
    [S1.seeded]
    find = "{ 7 }"
    replace = "{ 8 }"
    killed_by = "guest scenario::smp_2"
    [S1.surviving]
    find = "{ 2 }"
    replace = "{ 3 }"
"#;

/// A workspace with that crate.
fn toy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let package = |name, rest| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}");
    let scenario = "[[test]]\nname = \"guests\"\npath = \"guests.rs\"";
    let workspace = "[workspace]\nmembers = [\"kernel/rundown\", \"tests\"]";
    for (file, text) in [
        ("Cargo.toml", workspace),
        ("kernel/rundown/Cargo.toml", &package("rundown", "[features]\nloom = []")),
        ("kernel/rundown/src/lib.rs", SOURCE),
        ("kernel/rundown/tests/all.rs", TESTS),
        ("tests/Cargo.toml", &package("tests", scenario)),
        ("tests/guests.rs", SCENARIO),
        (".gitignore", "target"),
    ] {
        let file = folder.path().join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        fs::write(file, text).expect("written");
    }
    git(folder.path(), &["init", "-q"]).expect("git");
    folder
}

fn run(folder: &Path, mutants: &[&Mutant]) -> Result<Vec<Verdict>> {
    super::run(folder, &folder.join("target/mutants"), mutants, 2)
}

#[test]
fn each_end_has_its_verdict() {
    let folder = toy();
    let list = list::parse(LIST).expect("a list");
    let verdicts = run(folder.path(), &Vec::from_iter(&list)).expect("all killers pass");
    let expected = [
        "killed: assertion",
        "killed: assertion",
        "ERROR: does not compile",
        "killed: seed 5: broken",
        "SURVIVED",
    ];
    assert_eq!(verdicts.len(), expected.len());
    for (verdict, expected) in verdicts.iter().map(words).zip(expected) {
        assert!(verdict.starts_with(expected), "{verdict}\nnot {expected}");
    }
    let source = folder.path().join("kernel/rundown/src/lib.rs");
    let original = list::read(&source).expect("a file");
    assert_eq!(original, SOURCE, "the original was touched");

    let mut surviving = list[4].clone();
    let refused = |mutant: &Mutant| format!("{:#}", run(folder.path(), &[mutant]).expect_err(""));
    // The copies that are there are made like the original.
    fs::write(&source, SOURCE.replace("{ 2 }", "{ 0 }")).expect("written");
    assert!(refused(&surviving).contains("assertion"), "it fails anyway");
    surviving.killed_by.test = "zero".to_owned();
    assert!(refused(&surviving).contains("there is no"), "there is none");
}
