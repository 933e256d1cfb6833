//! Where and when a figure was measured: without it, it means nothing.

use std::arch::x86_64::__cpuid;
use std::process::Command;
use std::{fs, thread};

use serde::Serialize;

/// The machine, the date, and what compiled the benchmark. Unknown facts are "?".
#[derive(Clone, Debug, Serialize)]
pub struct HostMachine {
    /// The model's name as the CPU reports it, with family, model and stepping, since some models
    /// share a name; how many CPUs this process may use; whether it is a virtual machine.
    pub hardware: String,
    /// Name and release of the operating system's kernel; `rustc --version`; the day, UTC.
    pub software: String,
    /// The second-level cache of this CPU, in bytes; 0 if unknown.
    pub l2_bytes: usize,
}

impl HostMachine {
    /// This one, now.
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        // The first line with exactly this name.
        let field = |name| {
            let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(key, _)| key.trim_end() == name).map_or("?", |(_, value)| value.trim())
        };
        let output = |program: &str, argument: &str| {
            let output = Command::new(program).env("TZ", "UTC").arg(argument).output();
            let output = output.map_or_else(|_| b"?".to_vec(), |output| output.stdout);
            String::from_utf8_lossy(&output).trim().to_owned()
        };
        // Which Intel and AMD have alike: KiB in the upper half of ECX.
        let l2_kib = match __cpuid(0x8000_0000).eax {
            0x8000_0006.. => __cpuid(0x8000_0006).ecx >> 16,
            _ => 0,
        };
        let [name, family, model, stepping] =
            ["model name", "cpu family", "model", "stepping"].map(field);
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let is_virtual = field("flags").split(' ').any(|flag| flag == "hypervisor");
        let kind = if is_virtual { ", virtual machine" } else { "" };
        Self {
            hardware: format!(
                "{name} (family {family}, model {model}, stepping {stepping}), {cpus} CPUs, L2 {l2_kib} KiB{kind}"
            ),
            software: [&output("uname", "-sr"), env!("BENCH_RUSTC"), &output("date", "+%Y-%m-%d")]
                .join("; "),
            l2_bytes: (l2_kib as usize) << 10,
        }
    }
}
