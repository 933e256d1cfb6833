//! Where and when a figure was measured: without it, it means nothing.

use std::arch::x86_64::__cpuid;
use std::process::Command;
use std::{fmt, fs, thread};

use serde::Serialize;

/// The machine, the date, and what compiled the benchmark.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The model's name, as the CPU tells it; family, model and stepping tell apart those that do not.
    pub cpu: String,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// The second-level cache of the first CPU, in bytes; `None` if unknown.
    pub l2_bytes: Option<usize>,
    /// Whether the CPU says that it is a virtual machine's.
    pub virtual_machine: bool,
    /// Name and release of the operating system's kernel.
    pub kernel: String,
    /// `rustc --version`.
    pub compiler: &'static str,
    /// Of the measurement, UTC, year first.
    pub date: String,
}

impl Machine {
    /// This one, now. What the system does not tell is "unknown".
    #[must_use]
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            cpu: cpu_name(&cpuinfo),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            l2_bytes: l2_bytes(),
            virtual_machine: field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            kernel: format!("{} {}", proc_line("ostype"), proc_line("osrelease")),
            compiler: env!("BENCH_RUSTC"),
            date: today(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cpus,
            kernel,
            compiler,
            date,
            l2_bytes,
            ..
        } = self;
        let l2 = l2_bytes.map_or_else(String::new, |bytes| format!(", L2 {} KiB", bytes >> 10));
        let machine = if self.virtual_machine {
            ", virtual machine"
        } else {
            ""
        };
        write!(
            f,
            "{cpu}, {cpus} CPUs{l2}{machine}; {kernel}; {compiler}; {date}"
        )
    }
}

/// What sysfs says (Documentation/ABI/testing/sysfs-devices-system-cpu), else leaf 0x8000_0006 of CPUID,
/// which Intel and AMD have alike: KiB in ECX, bits 16 to 31.
fn l2_bytes() -> Option<usize> {
    let in_sysfs = (0..8).find_map(|index| {
        let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
        let level = fs::read_to_string(format!("{folder}/level")).ok()?;
        let size = fs::read_to_string(format!("{folder}/size")).ok()?;
        (level.trim() == "2").then_some(size)
    });
    let kib = match in_sysfs {
        Some(size) => size.trim().strip_suffix('K')?.parse().ok()?,
        None if __cpuid(0x8000_0000).eax >= 0x8000_0006 => {
            (__cpuid(0x8000_0006).ecx >> 16) as usize
        }
        None => 0,
    };
    (kib != 0).then_some(kib << 10)
}

fn cpu_name(cpuinfo: &str) -> String {
    let part = |name| field(cpuinfo, name).unwrap_or("?");
    match field(cpuinfo, "model name") {
        Some(name) => format!(
            "{name} (family {}, model {}, stepping {})",
            part("cpu family"),
            part("model"),
            part("stepping"),
        ),
        None => "unknown CPU".to_owned(),
    }
}

/// The first line of /proc/cpuinfo with this name.
fn field<'a>(cpuinfo: &'a str, name: &str) -> Option<&'a str> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim_end() == name)
        .map(|(_, value)| value.trim())
}

fn proc_line(name: &str) -> String {
    fs::read_to_string(format!("/proc/sys/kernel/{name}"))
        .map_or_else(|_| "unknown".to_owned(), |line| line.trim().to_owned())
}

fn today() -> String {
    Command::new("date")
        .args(["-u", "+%Y-%m-%d"])
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(|| "unknown date".to_owned(), |date| date.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_whole() {
        let cpuinfo = "processor\t: 0\ncpu family\t: 6\nmodel\t\t: 167\nmodel name\t: Fast CPU\nstepping\t: 1\n";
        assert_eq!(
            cpu_name(cpuinfo),
            "Fast CPU (family 6, model 167, stepping 1)"
        );
        assert_eq!(cpu_name(""), "unknown CPU");
    }
}
