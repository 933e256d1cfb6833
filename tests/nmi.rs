//! Protection in NMI handlers, see the guest of the same name.

use std::process::ExitCode;

use boot::qemu;
use boot::version::Version;
use tests::Case;

fn main() -> ExitCode {
    let mut cases = Case::matrix("nmi", &[1, 2, 3, 4, 8, 16, 64]);
    // TCG lets an interrupt in between blocks of instructions only, so an acquire that took several
    // steps would look like one. This lets it in after each instruction.
    if has_singlestep() {
        let case = Case::new("nmi", "1").named("singlestep_smp_1");
        cases.push(case.qemu(["-singlestep"]));
    }
    tests::main("nmi", cases)
}

/// Later versions have no such option on the command line.
fn has_singlestep() -> bool {
    let version = qemu::find(None).and_then(|program| qemu::version(&program));
    version.is_ok_and(|version| version < Version { major: 9, minor: 0 })
}
