//! One boot, and what must hold afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use boot::guest::{SUITE, TEST_KERNELS};
use boot::machine::Smp;
use boot::{Accel, Action, Boot, Firmware, MachineType, Report, Trigger};
use protocol::options::{Format, Options, Scenario};

use crate::shape::Shape;
use crate::{failure, guests, judge, screen};

/// A case's demand on a report.
type Check = Box<dyn Fn(&Report) -> Result<()> + Send + Sync>;

/// Names the seed that each boot of a run is to have, in place of its case's. A guest that hangs is
/// ended by a watchdog in its own time then, so that nothing depends on how busy the host is. The
/// mutants' killers run like this.
const SEED: &str = "TESTS_SEED";

/// The deadline in the host's time with such a seed: of no guest whose watchdog runs.
const NEVER: Duration = Duration::from_secs(3600);

/// Makes the image of a stick, at the path given last, of a kernel's ELF and its options.
pub type MakeStick = fn(&Path, &str, &Path) -> Result<()>;

/// One guest on one machine.
pub struct Case {
    name: String,
    package: &'static str,
    guest: &'static str,
    shape: Shape,
    /// All but the ELF, which is built later.
    pub(crate) boot: Boot,
    options: Options,
    /// Instead of those.
    ramdisk: Option<Vec<u8>>,
    deadline: Duration,
    stick: Option<MakeStick>,
    screen: bool,
    twice: bool,
    pub(crate) rare: bool,
    image: Option<&'static str>,
    fewer_cpus: bool,
    check: Check,
}

impl Case {
    /// The test guest with this scenario, on a q35 machine with `-smp <smp>`; all tests must pass.
    #[must_use]
    pub fn new(scenario: &str, smp: &str) -> Self {
        let shape = Shape::of(smp);
        Self {
            name: format!("smp_{}", smp.replace([',', '='], "_")),
            package: TEST_KERNELS,
            guest: SUITE,
            shape,
            boot: Boot::new("").smp(smp.parse::<Smp>().expect("a form of -smp")),
            options: Options {
                format: Format::Json,
                scenario: Some(Scenario::named(scenario).expect("a name")),
                ..Options::default()
            },
            // Only a hang reaches it: many virtual CPUs on few busy host CPUs are slow.
            deadline: Duration::from_secs(60) + Duration::from_secs(2) * shape.cpus,
            ramdisk: None,
            stick: None,
            screen: false,
            twice: false,
            rare: false,
            image: None,
            fewer_cpus: false,
            check: Box::new(judge::all_tests_passed),
        }
    }

    /// One case for each machine.
    #[must_use]
    pub fn matrix(scenario: &str, machines: &[&str]) -> Vec<Self> {
        machines.iter().map(|smp| Self::new(scenario, smp)).collect()
    }

    /// Another binary of the package than the one with the scenarios.
    #[must_use]
    pub fn alone(mut self, guest: &'static str) -> Self {
        self.guest = guest;
        self.options.scenario = None;
        self
    }

    /// The kernel itself instead of a test guest; it runs for this many seconds and must pass.
    #[must_use]
    pub fn kernel(smp: &str, seconds: u32) -> Self {
        let mut case = Self::new("kernel", smp).alone("kernel");
        case.package = "kernel";
        case.options.seconds = seconds;
        case.deadline += Duration::from_secs(seconds.into()) * 10;
        case.check = Box::new(judge::ended_well);
        case
    }

    /// Changes the boot: `.boot(|boot| boot.memory_mib(12))`.
    #[must_use]
    pub fn boot(self, change: impl FnOnce(Boot) -> Boot) -> Self {
        Self { boot: change(self.boot), ..self }
    }

    /// Gives it another name than that of its `-smp` value.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Another machine than q35. Its name becomes part of the case's.
    #[must_use]
    pub fn on(mut self, machine: MachineType) -> Self {
        self.name = format!("{}_{}", machine, self.name);
        self.boot(|boot| boot.machine(machine))
    }

    /// Started by UEFI. Where there is no OVMF, the case is shown as ignored.
    #[must_use]
    pub fn uefi(mut self) -> Self {
        // OVMF's time on a busy host.
        self.deadline += Duration::from_secs(180);
        self.boot(|boot| boot.firmware(Firmware::Uefi))
    }

    /// From another stick than that of [`boot::image`].
    #[must_use]
    pub fn stick(mut self, make: MakeStick) -> Self {
        self.stick = Some(make);
        self
    }

    /// Part of a matrix that takes long: run with `--ignored` or `--include-ignored`.
    #[must_use]
    pub fn rare(mut self) -> Self {
        self.rare = true;
        self
    }

    /// With KVM. Where there is none, or one that is not native, the case is shown as ignored.
    #[must_use]
    pub fn kvm(mut self) -> Self {
        self.name = format!("kvm_{}", self.name);
        self.boot(|boot| boot.accel(Accel::Kvm))
    }

    /// Another CPU model than `max`. Its name becomes part of the case's.
    #[must_use]
    pub fn cpu(mut self, model: &str) -> Self {
        self.name = format!("{model}_{}", self.name);
        // Of two, QEMU takes the last.
        self.qemu(["-cpu", model])
    }

    /// The firmware lists one more CPU, with this APIC ID, which never starts.
    #[must_use]
    pub fn ghost(mut self, apic_id: u32) -> Self {
        self.name = format!("{}_ghost_{apic_id}", self.name);
        self.options.ghost = Some(apic_id);
        self
    }

    /// Further options: `|o| o.start = StartMode::Serial`. [`named`](Self::named) names them.
    #[must_use]
    pub fn options(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(&mut self.options);
        self
    }

    /// Other contents of the ramdisk than proper options.
    #[must_use]
    pub fn ramdisk(mut self, contents: &[u8]) -> Self {
        self.ramdisk = Some(contents.to_vec());
        self
    }

    /// An image that is linked by itself, for the guest to load: the package, whose binary is named
    /// like it. The guest finds it as QEMU's file `opt/<package>`.
    #[must_use]
    pub fn image(mut self, package: &'static str) -> Self {
        self.image = Some(package);
        self
    }

    /// Another deadline than the generous one.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Not all CPUs of the machine are to come online. Otherwise the first that is missing ends the
    /// case. (A case with a fault in the start says so itself.)
    #[must_use]
    pub fn fewer_cpus(mut self) -> Self {
        self.fewer_cpus = true;
        self
    }

    /// Further arguments for QEMU, after all others.
    #[must_use]
    pub fn qemu<const N: usize>(self, arguments: [&str; N]) -> Self {
        self.boot(|boot| boot.qemu_args(arguments))
    }

    /// NMIs from QEMU's monitor, one to each CPU again and again, from then on.
    #[must_use]
    pub fn inject_nmis(self, from: Trigger) -> Self {
        self.boot(|boot| boot.act(Action::nmis(from)))
    }

    /// Twice, with this seed: the guest is to write the same both times, to the byte; the storm
    /// something else with another seed.
    #[must_use]
    pub fn replayed(mut self, seed: u32) -> Self {
        self.twice = true;
        self.seeded(seed)
    }

    /// With this seed.
    #[must_use]
    pub fn seeded(mut self, seed: u32) -> Self {
        self.name = format!("{}_seed_{seed}", self.name);
        self.options.seed = Some(seed);
        self.deadline *= 5;
        self
    }

    /// A further demand on the report of a guest that is to pass.
    #[must_use]
    pub fn also(mut self, check: impl Fn(&Report) -> Result<()> + Send + Sync + 'static) -> Self {
        let usual = self.check;
        self.check = Box::new(move |report| usual(report).and_then(|()| check(report)));
        self
    }

    /// Other demands than that the guest passes: for guests that are to fail.
    #[must_use]
    pub fn expecting(
        mut self,
        check: impl Fn(&Report) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.check = Box::new(check);
        self
    }

    /// A machine with a screen only: no serial port, and nothing that ends it but its monitor, once
    /// the kernel says that it is done. [`Report::lines`] are then the screen's size and text, in
    /// which there are to be these words.
    #[must_use]
    pub fn screen<const N: usize>(mut self, words: [&'static str; N]) -> Self {
        self.screen = true;
        // The only serial port is elsewhere.
        self.qemu(["-set", "device.exit.iobase=0xf8", "-global", "isa-serial.iobase=0x2f8"])
            .expecting(move |report| {
                judge::log_has(report, &[DONE])?;
                judge::log_has(report, &words)
            })
    }

    /// Its name within the scenario.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The CPUs that its machine has.
    #[must_use]
    pub fn shape(&self) -> Shape {
        Shape { ghost: self.options.ghost, ..self.shape }
    }

    /// Builds what it boots: nothing if that is built.
    pub fn build(&self) -> Result<PathBuf> {
        if let Some(package) = self.image {
            guests::elf(package, package)?;
        }
        guests::elf(self.package, self.guest)
    }

    /// Boots it and applies its check. `again` is the command that runs this case alone; `show`
    /// prints the serial output of a guest that passes, too.
    pub fn run(&self, again: &str, show: bool) -> Result<(), String> {
        let report = self.boot_with(self.options).map_err(|error| format!("{error:#}"))?;
        if show {
            println!("{}", report.lines.join("\n"));
        }
        let check = (self.check)(&report).and_then(|()| self.replay(&report));
        check.map_err(|trouble| {
            // A stick of its own is gone by then.
            let by_hand = report.command.as_deref().filter(|_| self.stick.is_none());
            failure::describe(&trouble, &report, again, by_hand)
        })
    }

    /// If it is to run twice: boots it again, and compares.
    fn replay(&self, first: &Report) -> Result<()> {
        let Some(seed) = self.options.seed.filter(|_| self.twice) else {
            return Ok(());
        };
        let second = self.boot_with(self.options)?;
        let lines = first.lines.iter().zip(&second.lines);
        if let Some((number, (first, second))) = (1..).zip(lines).find(|(_, (a, b))| a != b) {
            bail!("seed {seed}: line {number} was {first:?}, and then {second:?}");
        }
        let (first_len, second_len) = (first.lines.len(), second.lines.len());
        ensure!(first_len == second_len, "seed {seed}: {first_len} lines, and then {second_len}");
        if self.package == "kernel" {
            // Instructions take as long with this seed, but turns end elsewhere: counts differ.
            let other = seed + 7;
            let third = self.boot_with(Options { seed: Some(other), ..self.options })?;
            ensure!(first.lines != third.lines, "seed {other} is the same run as seed {seed}");
        }
        Ok(())
    }

    fn boot_with(&self, mut options: Options) -> Result<Report> {
        let seed = std::env::var(SEED).ok().map(|seed| seed.parse());
        let seed = seed.transpose().context(SEED)?;
        if seed.is_some() {
            ensure!(
                self.boot.repeats() && !self.twice,
                "{SEED}: another seed does not repeat this run"
            );
            options.seed = seed;
        }
        let mut elf = self.build()?;
        let made = self.stick.map(|_| tempfile::Builder::new().suffix(".img").tempfile());
        let made = made.transpose()?;
        if let (Some(make), Some(stick)) = (self.stick, &made) {
            make(&elf, &options.to_string(), stick.path())?;
            elf = stick.path().to_path_buf();
        }
        let mut boot = self.boot.clone().elf(elf).options(&options);
        boot = boot.deadline(seed.map_or(self.deadline, |_| NEVER));
        if seed.is_some() {
            boot = boot.qemu_args(["-device", "ib700"]);
        }
        let mut boot = match (options, self.fewer_cpus) {
            (Options { fault: Some(_), .. } | Options { hide: Some(_), .. }, _) | (_, true) => {
                boot.cpus_may_be_missing()
            }
            (Options { ghost: Some(_), .. }, _) => boot,
            _ => boot.ends_if_a_cpu_is_missing(),
        };
        if let Some(contents) = &self.ramdisk {
            boot = boot.ramdisk(contents.as_slice());
        }
        if let Some(package) = self.image {
            let file = guests::elf(package, package)?;
            let file = format!("name=opt/{package},file={}", file.display());
            boot = boot.qemu_args(["-fw_cfg".to_owned(), file]);
        }
        let tried = || format!("the guest {}, {}", self.guest, self.name);
        if !self.screen {
            return boot.run().with_context(tried);
        }
        let (report, text) = screen::until(DONE, |arguments| boot.qemu_args(arguments).run())?;
        let mut report = report.with_context(tried)?;
        report.lines = text.lines().map(str::to_owned).collect();
        Ok(report)
    }
}

/// The kernel's last line where nothing ends the machine.
const DONE: &str = "done: switch off or press reset";
