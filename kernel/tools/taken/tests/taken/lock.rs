//! How many packages a user's lock file gets.

use std::fs;

use crate::user::{empty_crate, run_cargo};
use boot::workspace::copy;

/// The user's own crate, this one, and libc with the feature `std`. That is also what `cargo vendor`
/// fetches, for all targets and whatever cfg.
#[test]
fn an_empty_crate_locks_three_packages_at_most() {
    for (features, most) in
        [("", 2), ("\"alloc\", \"diagnosis\"", 2), ("\"std\", \"diagnosis\"", 3)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        copy("kernel/rundown", &folder.path().join("rundown")).expect("a copy");
        let user = folder.path().join("user");
        empty_crate(
            &user,
            &format!("rundown = {{ path = \"../rundown\", features = [{features}] }}"),
        );
        run_cargo(&user, &["generate-lockfile", "--quiet"]);
        let lock = fs::read_to_string(user.join("Cargo.lock")).expect("a lock file");
        let packages = lock.matches("[[package]]").count();
        assert!(packages <= most, "{features}: {packages} packages\n{lock}");
    }
}
