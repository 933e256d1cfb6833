//! Linux in the same QEMU, to compare with: how long it takes for its CPUs, from its own log.
//!
//! Its kernel says "smp: Bringing up secondary CPUs ..." before the first one, and "smp: Brought up 1
//! node, 64 CPUs" after the last (`smp_init` in its `kernel/smp.c`), each after a time stamp in seconds. No
//! root file system is needed for that: QEMU is ended as soon as the second line is there.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::action::{Action, Trigger};
use crate::run::{Boot, Ending, Line};

const BEGINS: &str = "smp: Bringing up secondary CPUs";
const ENDS: &str = "smp: Brought up ";
const VERSION: &str = "Linux version ";

/// What Linux's log has told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Told {
    /// Its release: `6.1.0-47-amd64`.
    pub(crate) release: Option<String>,
    /// CPUs that came up, the first included.
    pub(crate) online: Option<u32>,
    /// Microseconds between the two lines, by their time stamps.
    pub(crate) log_us: Option<u64>,
    /// The same by the host's clock, as the lines came.
    pub(crate) host_us: Option<u64>,
    /// Both clocks at the first line.
    #[serde(skip)]
    pub(crate) begun: Option<(u64, Duration)>,
}

impl Told {
    /// Takes down a line that came so long after the start of QEMU.
    fn hear(&mut self, line: &str, at: Duration) {
        let Some((stamp_us, text)) = stamped(line) else {
            return;
        };
        if let Some(version) = text.strip_prefix(VERSION) {
            self.release = version.split(' ').next().map(str::to_string);
        } else if text.starts_with(BEGINS) {
            self.begun = Some((stamp_us, at));
        } else if let (Some(rest), Some((stamp, host))) = (text.strip_prefix(ENDS), self.begun) {
            self.online = rest
                .split_once(", ")
                .and_then(|(_, cpus)| cpus.split(' ').next()?.parse().ok());
            self.log_us = stamp_us.checked_sub(stamp);
            self.host_us = u64::try_from((at - host).as_micros()).ok();
        }
    }
}

/// Boots a Linux kernel, a bzImage, and reads its log until its CPUs are up. The boot comes with all else
/// set, its deadline too: a Linux that hangs says so in no other way.
///
/// # Errors
///
/// As [`Boot::watch`].
pub(crate) fn run(boot: Boot) -> anyhow::Result<(Told, Ending)> {
    let boot = boot
        .no_ramdisk()
        // Without the last, it would wait for ever where it finds no root file system.
        .qemu_args(["-append", "console=ttyS0 panic=-1"])
        .act(Action::qmp(
            Trigger::Log(ENDS.to_string()),
            "quit",
            Value::Null,
        ));
    let mut told = Told::default();
    let start = Instant::now();
    let ending = boot.watch(|line| {
        if let Line::Log(text) = line {
            told.hear(text, start.elapsed());
        }
    })?;
    Ok((told, ending))
}

/// Whether this may be a Linux kernel: a bzImage has its magic number at 0x202 (Linux's
/// `Documentation/arch/x86/boot.rst`, "The Real-Mode Kernel Header").
pub(crate) fn is_kernel(file: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};

    let mut file = std::fs::File::open(file)?;
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(0x202))?;
    Ok(file.read_exact(&mut magic).is_ok() && &magic == b"HdrS")
}

/// `[    0.614653] text` to microseconds and text.
fn stamped(line: &str) -> Option<(u64, &str)> {
    let (stamp, text) = line.trim_start().strip_prefix('[')?.split_once("] ")?;
    let (seconds, micros) = stamp.trim_start().split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let seconds: u64 = seconds.parse().ok()?;
    let micros: u64 = micros.parse().ok()?;
    Some((seconds.checked_mul(1_000_000)?.checked_add(micros)?, text))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::{Told, is_kernel, stamped};

    /// Lines as Debian's 6.1.0-56-amd64 wrote them under TCG.
    const LOG: &str = "\
[    0.000000] Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0)
[    0.000000] Command line: console=ttyS0 panic=-1
[    0.066904] smpboot: Allowing 4 CPUs, 0 hotplug CPUs
[    0.614653] smp: Bringing up secondary CPUs ...
[    0.620981] x86: Booting SMP configuration:
[    0.628613] .... node  #0, CPUs:      #1 #2 #3
[    1.889556] smp: Brought up 1 node, 4 CPUs
[    1.889743] smpboot: Max logical packages: 1
";

    fn told(log: &str) -> Told {
        let mut told = Told::default();
        for (second, line) in (0..).zip(log.lines()) {
            told.hear(line, Duration::from_secs(second));
        }
        told
    }

    #[test]
    fn a_log_is_read() {
        let told = told(LOG);
        assert_eq!(told.release.as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(
            (told.online, told.log_us, told.host_us),
            (Some(4), Some(1_274_903), Some(3_000_000))
        );
    }

    #[test]
    fn several_nodes_and_one_cpu() {
        for (line, cpus) in [("2 nodes, 64 CPUs", 64), ("1 node, 1 CPU", 1)] {
            let log = LOG.replace("1 node, 4 CPUs", line);
            assert_eq!(told(&log).online, Some(cpus));
        }
    }

    #[test]
    fn half_a_log_tells_nothing() {
        let begun = LOG.split_once("smp: Brought").expect("it is there").0;
        assert_eq!(told(begun).log_us, None);
        // Nor does an end without a beginning.
        let end = "[    1.889556] smp: Brought up 1 node, 4 CPUs";
        assert_eq!(told(end), Told::default());
    }

    #[test]
    fn stamps() {
        assert_eq!(stamped("[12345.000001] x"), Some((12_345_000_001, "x")));
        assert_eq!(stamped("[    0.614653] a] b"), Some((614_653, "a] b")));
        for line in [
            "",
            "x",
            "[ 1.5] x",
            "[CPU 0] x",
            "[    0.61465x] x",
            "[0.614653]",
        ] {
            assert_eq!(stamped(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_kernel_is_known_by_its_magic_number() {
        let mut file = tempfile::NamedTempFile::new().expect("temporary file");
        assert!(!is_kernel(file.path()).expect("it opens"));
        file.write_all(&[0; 0x202]).expect("written");
        file.write_all(b"HdrS").expect("written");
        assert!(is_kernel(file.path()).expect("it opens"));
        assert!(is_kernel("/no/such/file".as_ref()).is_err());
    }
}
