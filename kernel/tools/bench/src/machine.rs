//! Where and when a figure was measured: without it, it means nothing.

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
            ..
        } = self;
        let machine = if self.virtual_machine {
            ", virtual machine"
        } else {
            ""
        };
        write!(
            f,
            "{cpu}, {cpus} CPUs{machine}; {kernel}; {compiler}; {date}"
        )
    }
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
