//! QEMU's complaints, and what to do about them.

/// A part of what QEMU says, and the remedy. The first that fits counts.
const KNOWN: &str = "\
requires kernel irqchip and X2APIC => more than 255 CPUs need KVM (--accel kvm), or a QEMU whose TCG has x2APIC (9.0)
The max CPUs supported by machine => fewer CPUs: --smp with at most the number it names
Invalid CPU topology => the product of sockets, cores and threads must be the CPUs
Invalid parameter => `cargo boot --help` shows the forms of --smp
Could not access KVM => --accel tcg, or become a member of the group kvm
failed to initialize kvm => --accel tcg, or become a member of the group kvm
KVM => --accel tcg
unsupported machine type => a QEMU that has this board: --machine q35, or a newer QEMU
cannot set up guest memory => less memory: --memory 256M
without PVH ELF Note => an ELF that was built with this workspace, or a newer QEMU
invalid option => the arguments after `--` must be options of this QEMU";

/// What to do about a QEMU that ended in this way and with this complaint, if it is a known one.
pub(super) fn remedy(status: &str, stderr: &str) -> Option<&'static str> {
    if status.contains("SIGKILL") {
        return Some("if the system ran out of memory: fewer CPUs (255 take 1.2 GiB, 64 far less)");
    }
    let mut known = KNOWN.lines().filter_map(|line| line.split_once(" => "));
    known.find(|(said, _)| stderr.contains(said)).map(|(_, remedy)| remedy)
}

#[cfg(test)]
mod tests {
    use super::remedy;

    /// As QEMU 7.2 says it.
    #[test]
    fn known_complaints_have_a_remedy() {
        let irqchip = "current -smp configuration requires kernel irqchip and X2APIC API support.";
        let most = "Invalid SMP CPUs 300. The max CPUs supported by machine 'pc-q35-7.2' is 288";
        for (status, said, part) in [
            ("", irqchip, "255"),
            ("", most, "fewer"),
            ("", "Could not access KVM kernel module: No such file or directory", "tcg"),
            ("", "Invalid CPU topology: product of the hierarchy must match maxcpus", "product"),
            ("signal: 9 (SIGKILL)", "", "memory"),
        ] {
            let remedy = remedy(status, said).expect(said);
            assert!(remedy.contains(part), "{remedy}");
        }
        assert_eq!(remedy("signal: 11", "qemu-system-x86_64: out of cheese"), None);
    }
}
