//! The machine QEMU builds: its board and its CPUs.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// QEMU's type of machine: its board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MachineType {
    /// A PC with PCI Express.
    #[default]
    Q35,
    /// A PC of the nineties.
    Pc,
    /// A board without PCI, for a quick start.
    Microvm,
}

/// QEMU's name for it.
impl fmt::Display for MachineType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Q35 => "q35",
            Self::Pc => "pc",
            Self::Microvm => "microvm",
        })
    }
}

/// QEMU's `-smp`, kept as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smp(String);

impl Smp {
    /// As QEMU gets it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Number of CPUs that the machine has room for. QEMU's rule: `maxcpus`, else `cpus`, else the
    /// product of the topology.
    pub fn cpus(&self) -> u32 {
        self.value_of("maxcpus").unwrap_or_else(|| self.present())
    }

    /// Number of CPUs that the machine starts with: the others can be plugged in. QEMU's rule:
    /// `cpus`, else `maxcpus`, else the product of the topology.
    pub fn present(&self) -> u32 {
        let given = self.value_of("cpus").or_else(|| self.value_of("maxcpus"));
        given.unwrap_or_else(|| {
            let values = pairs(&self.0).map(|(_, value)| value.parse().unwrap_or(1));
            values.fold(1, u32::saturating_mul)
        })
    }

    fn value_of(&self, key: &str) -> Option<u32> {
        let (_, value) = pairs(&self.0).find(|(name, _)| *name == key)?;
        value.parse().ok()
    }
}

/// The parts of an `-smp`; one without a name is `cpus`.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').map(|part| part.split_once('=').unwrap_or(("cpus", part)))
}

impl Default for Smp {
    fn default() -> Self {
        Self::from(4)
    }
}

impl From<u32> for Smp {
    fn from(cpus: u32) -> Self {
        Self(cpus.to_string())
    }
}

impl FromStr for Smp {
    type Err = String;

    /// Takes anything that could be an argument of `-smp`, else shows what could. Whether it makes
    /// sense is for QEMU to say, which knows its own limits and says it well.
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = |(key, value): (&str, &str)| {
            let is_name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase());
            is_name && value.parse::<u32>().is_ok_and(|number| number > 0)
        };
        if !pairs(text).all(fits) {
            return Err("expected a number of CPUs such as `8`, or QEMU's long form such as \
                 `9,sockets=3,cores=3,threads=1` or `4,maxcpus=8`"
                .to_string());
        }
        // Of two, QEMU takes the last without a word.
        let mut keys = BTreeSet::new();
        match pairs(text).find(|(key, _)| !keys.insert(*key)) {
            Some((key, _)) => Err(format!("`{key}` is given twice")),
            None => Ok(Self(text.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Smp;

    #[test]
    fn every_form_is_taken_and_counted() {
        for (text, present, cpus) in [
            ("255", 255, 255),
            ("9,sockets=3,cores=3,threads=1", 9, 9),
            ("4,maxcpus=8", 4, 8),
            ("sockets=2,cores=4,threads=2", 16, 16),
            ("sockets=2,cores=4,maxcpus=8", 8, 8),
            ("cores=3,cpus=6", 6, 6),
            ("sockets=4294967295,cores=2", u32::MAX, u32::MAX),
        ] {
            let smp = text.parse::<Smp>().expect(text);
            assert_eq!((smp.as_str(), smp.present(), smp.cpus()), (text, present, cpus));
        }
    }

    #[test]
    fn what_cannot_be_one_is_refused() {
        for text in "|0|-1|four|4,|,4|4,=2|4,cores=|4,Cores=2|4 |4.5".split('|') {
            let error = text.parse::<Smp>().expect_err(text);
            assert!(error.contains("4,maxcpus=8"), "{error}");
        }
        let error = "4,cpus=5".parse::<Smp>().expect_err("which is it?");
        assert_eq!(error, "`cpus` is given twice");
    }
}
