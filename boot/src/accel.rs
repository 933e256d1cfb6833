//! How QEMU runs the guest's instructions: translated (TCG) or on the CPU itself (KVM).

use std::fmt;
use std::fs::{self, File};

/// The user's choice of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// KVM where it is the real thing, else TCG.
    #[default]
    Auto,
    /// QEMU translates the guest's code. Works everywhere.
    Tcg,
    /// The CPU runs the guest's code.
    Kvm,
}

/// The engine that QEMU is started with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Translation.
    Tcg,
    /// The CPU. `native` unless the CPU shows no virtualisation of its own: see [`Host::native`].
    Kvm {
        /// Whether the guest runs at the CPU's own speed.
        native: bool,
    },
}

/// Facts of the machine that bear on the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The CPU has Intel VT-x or AMD-V (`vmx` or `svm` among the flags in /proc/cpuinfo). A KVM
    /// without these exists (virtual machines in virtual machines); it interprets kernel code
    /// thousands of times slower than the CPU would run it.
    pub native: bool,
    /// This user may open /dev/kvm.
    pub kvm_opens: bool,
}

impl Host {
    /// Looks at this machine. Where there is no /proc/cpuinfo there is no KVM either.
    pub fn probe() -> Self {
        Self {
            native: has_virtualisation(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            kvm_opens: File::options().read(true).write(true).open("/dev/kvm").is_ok(),
        }
    }

    /// Why [`Accel::Auto`] decides as it does, for people.
    pub const fn reason(self) -> &'static str {
        match (self.native, self.kvm_opens) {
            (true, true) => "the CPU has vmx or svm, and /dev/kvm opens",
            (true, false) => "/dev/kvm does not open (missing, or not yours: group kvm)",
            (false, true) => {
                "/dev/kvm opens, but /proc/cpuinfo shows neither vmx nor svm: such a KVM \
                 interprets kernel code and is slower than TCG"
            }
            (false, false) => "no /dev/kvm",
        }
    }
}

impl Accel {
    /// Decides.
    pub const fn engine(self, host: Host) -> Engine {
        match (self, host) {
            (Self::Kvm, Host { native, .. }) => Engine::Kvm { native },
            (Self::Auto, Host { native: true, kvm_opens: true }) => Engine::Kvm { native: true },
            (Self::Auto | Self::Tcg, _) => Engine::Tcg,
        }
    }
}

/// The name for QEMU's `-accel`.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Self::Tcg { "tcg" } else { "kvm" })
    }
}

fn has_virtualisation(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm")
}

#[cfg(test)]
mod tests {
    use super::{Accel, Engine, Host, has_virtualisation};

    #[test]
    fn auto_takes_kvm_only_where_it_is_the_real_thing() {
        for (native, kvm_opens) in [(true, true), (true, false), (false, true), (false, false)] {
            let host = Host { native, kvm_opens };
            let both = native && kvm_opens;
            let auto = if both { Engine::Kvm { native: true } } else { Engine::Tcg };
            assert_eq!(Accel::Auto.engine(host), auto);
            assert_eq!(Accel::Kvm.engine(host), Engine::Kvm { native });
            assert_eq!(Accel::Tcg.engine(host), Engine::Tcg);
        }
    }

    #[test]
    fn flags_are_whole_words_of_the_flags_line() {
        assert!(has_virtualisation("processor\t: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(has_virtualisation("flags\t\t: fpu svm"));
        assert!(!has_virtualisation("flags\t\t: fpu vmx_like svm_lock\nvmx flags\t: vmx"));
        assert!(!has_virtualisation(""));
    }
}
