//! Boots a guest and watches it to its end.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use protocol::options::{Format, Options};
use tempfile::{NamedTempFile, TempDir};

use self::report::Listener;
pub use self::report::{Line, Report};
use crate::accel::{Accel, Engine, Host};
use crate::action::Action;
use crate::child::{self, KillOnDrop};
use crate::firmware::{Firmware, Ovmf};
use crate::machine::{MachineType, Smp};
use crate::monitor::{Done, Operator, TIMEOUT};
use crate::outcome::{End, Testimony};
use crate::qemu::{self, Uefi};
use crate::symbols::Symbols;
use crate::{guest, image};

mod report;

/// One boot of one guest, to be set up and then [`run`](Self::run).
#[derive(Clone, Debug, Default)]
#[must_use = "a boot does nothing until it is run"]
pub struct Boot {
    pub(crate) elf: PathBuf,
    qemu: Option<PathBuf>,
    pub(crate) smp: Smp,
    pub(crate) machine: MachineType,
    firmware: Firmware,
    accel: Accel,
    pub(crate) memory_mib: Option<u32>,
    pub(crate) ramdisk: Option<Vec<u8>>,
    seconds: u32,
    pub(crate) seed: Option<u32>,
    deadline: Option<Duration>,
    pub(crate) gdb: Option<u16>,
    pub(crate) qemu_args: Vec<OsString>,
    actions: Vec<Action>,
    interrupt: Option<&'static AtomicBool>,
    missing: Missing,
}

/// The consequence of a missing CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Missing {
    #[default]
    /// The guest may go on; it has not passed in the end.
    NoPass,
    /// The boot ends immediately.
    Ends,
    /// Nothing.
    Expected,
}

/// Methods that set a field each.
macro_rules! settings {
    ($( $(#[$about:meta])* $field:ident: $type:ty; )+) => {
        impl Boot { $(
            $(#[$about])*
            pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                self.$field = $field.into();
                self
            }
        )+ }
    };
}

settings! {
    /// Another ELF.
    elf: PathBuf;
    /// The QEMU to use, instead of the one on the search path.
    qemu: Option<PathBuf>;
    /// CPUs: a number, or a form of QEMU's `-smp`.
    smp: Smp;
    /// The board.
    machine: MachineType;
    /// How the kernel is started. By UEFI, the ramdisk is the file of options beside the loader.
    firmware: Firmware;
    /// The engine.
    accel: Accel;
    /// Memory in MiB; by default as much as suits the number of CPUs.
    memory_mib: Option<u32>;
    /// Longest time from QEMU's start to its end; by default far more than a healthy guest needs on
    /// a slow host.
    deadline: Option<Duration>;
    /// Has QEMU wait for a debugger on this local port before the first instruction. No deadline
    /// then.
    gdb: Option<u16>;
    /// Ends the boot soon after the flag is set, with
    /// [`Outcome::Interrupted`](crate::Outcome::Interrupted).
    interrupt: Option<&'static AtomicBool>;
}

impl Boot {
    /// A boot of this ELF: 4 CPUs, q35, the fastest engine, default options in JSON format. A file
    /// named `.iso` is a disk that boots by a loader of its own, one named `.img` a stick.
    pub fn new(elf: impl Into<PathBuf>) -> Self {
        let boot = Self { elf: elf.into(), ..Self::default() };
        boot.options(&Options { format: Format::Json, ..Options::default() })
    }

    /// The options for the kernel. Without [`Format::Json`] there are no events, and so no pass.
    /// With a seed, the run is the same, to the byte, whenever it is repeated, and the CPUs are
    /// interleaved differently with each seed: TCG in one thread, whose clock counts instructions.
    /// (A debugger that stops the guest changes it.)
    pub fn options(mut self, options: &Options) -> Self {
        self.seconds = options.seconds;
        self.seed = options.seed;
        self.ramdisk(options.to_string())
    }

    /// The ramdisk's contents as they are, for options that [`Options`] cannot express.
    pub fn ramdisk(mut self, contents: impl Into<Vec<u8>>) -> Self {
        self.ramdisk = Some(contents.into());
        self
    }

    /// No ramdisk at all: for a kernel that is not ours.
    pub fn no_ramdisk(mut self) -> Self {
        self.ramdisk = None;
        self
    }

    /// More arguments for QEMU, after all others.
    pub fn qemu_args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.qemu_args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Has QEMU's monitor do something while the guest runs. Can be called more than once; actions
    /// for the same line are done in the order given.
    pub fn act(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// Ends the boot as soon as the guest reports a CPU as missing. Otherwise it goes on, and is at
    /// best [`Outcome::Incomplete`](crate::Outcome::Incomplete) in the end.
    pub fn ends_if_a_cpu_is_missing(mut self) -> Self {
        self.missing = Missing::Ends;
        self
    }

    /// For a boot that loses CPUs on purpose: it may pass with fewer than the machine has.
    pub fn cpus_may_be_missing(mut self) -> Self {
        self.missing = Missing::Expected;
        self
    }

    /// Boots, and keeps all that the guest writes.
    pub fn run(self) -> anyhow::Result<Report> {
        let (mut lines, mut events) = (Vec::new(), Vec::new());
        let report = self.watch(|line| match line {
            Line::Log(text) | Line::Firmware(text) => lines.push(text.to_string()),
            Line::Event(event, text) => {
                lines.push(text.to_string());
                events.push(event.clone());
            }
        })?;
        Ok(Report { lines, events, ..report })
    }

    /// Boots, and hands over each line as it comes. Keeps none, so it may run for days.
    ///
    /// # Errors
    ///
    /// The boot could not be tried: no QEMU, no ELF, or QEMU's monitor did not obey. Any other
    /// failure of QEMU or the guest is an [`Outcome`](crate::Outcome), not an error.
    pub fn watch(self, mut see: impl FnMut(Line<'_>)) -> anyhow::Result<Report> {
        let program = qemu::find(self.qemu.as_deref())?;
        if !self.elf.is_file() {
            bail!("there is no kernel at {}", self.elf.display());
        }
        let (uefi, engine) = (self.uefi()?, self.engine());
        let by_hand = qemu::by_hand(&program, &self, engine, uefi.as_ref());
        let ramdisk = self.ramdisk.as_deref().map(file_with).transpose()?;
        let ramdisk = ramdisk.as_ref().map(NamedTempFile::path);
        let uefi = uefi.map(|uefi| self.with_stick(uefi)).transpose()?;
        let uefi = uefi.as_ref().map(|(uefi, _)| uefi);
        let start = Instant::now();
        let mut command = Command::new(&program);
        command.args(qemu::arguments(&self, engine, ramdisk, uefi));
        let operator = match &*self.actions {
            [] => None,
            actions => Some(Operator::open(actions.to_vec(), TIMEOUT)?),
        };
        if let Some(operator) = &operator {
            command.args(operator.arguments());
        }
        if self.seed.is_some() {
            child::keep_to_one_cpu(&mut command)?;
        }
        let (mut child, lines, stderr) = KillOnDrop::with_lines(&mut command)
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut listener = Listener {
            start,
            operator,
            testimony: Testimony::default(),
            symbols: Symbols::of(&self.elf),
            in_firmware: self.firmware == Firmware::Uefi,
            first_line: None,
        };
        let stopped = self.listen(&lines, &mut listener, self.time_limit(), &mut see);
        if stopped.is_some() {
            child.kill();
            // Lines that were on their way when it was killed.
            lines.iter().for_each(|line| listener.hear(&line, &mut see));
        }
        let status = child.wait()?;
        let end = stopped.unwrap_or_else(|| {
            status.code().map_or_else(|| End::Killed(status.to_string()), End::Exited)
        });
        let stderr = stderr.join().unwrap_or_default();
        let asked = (self.missing != Missing::Expected).then(|| self.smp.present());
        let operator = listener.operator.take();
        let Done { times, answers } =
            operator.map_or_else(|| Ok(Done::default()), Operator::end)?;
        Ok(Report {
            outcome: listener.testimony.outcome(&end, &stderr, asked),
            lines: Vec::new(),
            events: Vec::new(),
            stderr,
            first_line: listener.first_line,
            elapsed: start.elapsed(),
            done: times,
            answers,
            // It cannot contain the monitor's actions.
            command: self.actions.is_empty().then_some(by_hand),
        })
    }

    /// Passes lines on until there are no more (`None`) or there is a reason to stop.
    fn listen(
        &self,
        lines: &Receiver<String>,
        listener: &mut Listener,
        deadline: Option<Duration>,
        see: &mut impl FnMut(Line<'_>),
    ) -> Option<End> {
        loop {
            match lines.recv_timeout(TICK) {
                Ok(line) => listener.hear(&line, see),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            let is_set = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
            let is_missing = self.missing == Missing::Ends && listener.testimony.lacks_a_cpu();
            match deadline {
                _ if self.interrupt.is_some_and(is_set) => return Some(End::Interrupted),
                _ if is_missing => return Some(End::Incomplete),
                // The guest may wait for an action that will not come. `Operator::end` says why.
                _ if listener.operator.as_ref().is_some_and(Operator::has_failed) => {
                    return Some(End::Interrupted);
                }
                Some(deadline) if listener.start.elapsed() >= deadline => {
                    return Some(End::Deadline(deadline));
                }
                _ => {}
            }
        }
    }

    /// Whether a seed makes it the same each time: nothing acts on it in the host's time.
    pub fn repeats(&self) -> bool {
        self.actions.is_empty() && self.accel != Accel::Kvm
    }

    /// A shell command that boots the same, for people who want to try it by hand.
    pub fn command(&self) -> anyhow::Result<String> {
        let program = qemu::find(self.qemu.as_deref())?;
        Ok(qemu::by_hand(&program, self, self.engine(), self.uefi()?.as_ref()))
    }

    /// What this host lacks for it, if anything: a KVM that is not native takes minutes.
    pub fn lacks(&self) -> Option<&'static str> {
        let host = Host::probe();
        if self.accel == Accel::Kvm && !(host.native && host.kvm_opens) {
            return Some("no native KVM");
        }
        let needs_ovmf = self.firmware == Firmware::Uefi;
        (needs_ovmf && Ovmf::find().is_err()).then_some("no OVMF: sh boot/setup.sh --tests")
    }

    /// The engine that QEMU will be started with.
    pub fn engine(&self) -> Engine {
        match self.seed {
            Some(_) => Engine::Tcg,
            None => self.accel.engine(Host::probe()),
        }
    }

    /// The files for UEFI, if it starts the kernel; the stick and the copy of the variables are made
    /// later.
    fn uefi(&self) -> anyhow::Result<Option<Uefi>> {
        if self.firmware == Firmware::Direct {
            return Ok(None);
        }
        if self.machine == MachineType::Microvm {
            bail!("the board microvm has no UEFI: --machine q35 or pc");
        }
        Ok(Some(Uefi { ovmf: Ovmf::find()?, variables: PathBuf::new(), stick: self.elf.clone() }))
    }

    /// Makes both, in a folder that goes with what is returned.
    fn with_stick(&self, uefi: Uefi) -> anyhow::Result<(Uefi, TempDir)> {
        let folder = tempfile::Builder::new().prefix("boot-uefi-").tempdir()?;
        let variables = folder.path().join("vars.fd");
        fs::copy(&uefi.ovmf.variables, &variables)?;
        let mut stick = uefi.stick;
        if !qemu::is_stick(&stick) {
            let loader = guest::build_loader(&stick)?;
            stick = folder.path().join("stick.img");
            let mut files = vec![(image::LOADER, &*loader)];
            files.extend(self.ramdisk.as_deref().map(|options| (image::OPTIONS, options)));
            image::write(&stick, &files)?;
        }
        let ovmf = uefi.ovmf;
        Ok((Uefi { ovmf, variables, stick }, folder))
    }

    /// None for a debugger. By default twice the guest's working time, plus for bring-up and
    /// reports 60 s and 1 s per CPU, about 20 times what 2 host CPUs took for 1 to 255 CPUs under
    /// TCG.
    fn time_limit(&self) -> Option<Duration> {
        // With a seed, one thread does the work of all CPUs, and a second in the guest is half a
        // billion instructions at most.
        let slower = if self.seed.is_some() { 30 } else { 1 };
        let cpus = u64::from(self.smp.cpus());
        let work = u64::from(self.seconds) * 2 * slower;
        // OVMF takes 8 to 40 s on 2 quiet host CPUs under TCG, and longer with many CPUs.
        let firmware = if self.firmware == Firmware::Uefi { 180 + cpus } else { 0 };
        let usual = Duration::from_secs(work + 60 + cpus * slower + firmware);
        self.gdb.is_none().then(|| self.deadline.unwrap_or(usual))
    }
}

/// How often the end of a deadline or an interrupt is looked for.
const TICK: Duration = Duration::from_millis(50);

fn file_with(contents: &[u8]) -> anyhow::Result<NamedTempFile> {
    let mut file = NamedTempFile::with_prefix("boot-options-")?;
    file.write_all(contents)?;
    file.flush()?;
    Ok(file)
}

#[cfg(test)]
mod tests;
