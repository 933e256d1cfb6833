//! One boot, and what must hold afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use boot::firmware::Ovmf;
use boot::{Accel, Action, Boot, Firmware, Host, Machine, Report, Trigger};
use protocol::options::{Format, Options};
use serde_json::Value;

use crate::shape::Shape;
use crate::{failure, guests, judge, screen};

/// What a case demands of a report.
type Check = Box<dyn Fn(&Report) -> Result<()> + Send>;

/// Names the seed that each boot of a run is to have, in place of its case's. A guest that hangs is ended by a watchdog
/// in its own time then, so that nothing depends on how busy the host is. The mutants' killers run like this.
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
    smp: String,
    machine: Machine,
    firmware: Firmware,
    stick: Option<MakeStick>,
    rare: bool,
    accel: Accel,
    memory_mib: Option<u32>,
    options: Options,
    ramdisk: Option<Vec<u8>>,
    image: Option<&'static str>,
    deadline: Duration,
    arguments: Vec<String>,
    actions: Vec<Action>,
    fewer_cpus: bool,
    check: Check,
}

impl Case {
    /// The test guest `guest` on a q35 machine with `-smp <smp>`; it is to pass all its tests.
    ///
    /// # Panics
    ///
    /// If `smp` is not a form that [`Shape::of`] knows.
    #[must_use]
    pub fn new(guest: &'static str, smp: &str) -> Self {
        Self {
            name: format!("smp_{}", smp.replace([',', '='], "_")),
            package: "test-kernels",
            guest,
            smp: smp.to_owned(),
            machine: Machine::Q35,
            firmware: Firmware::Direct,
            stick: None,
            rare: false,
            accel: Accel::Auto,
            memory_mib: None,
            options: Options {
                format: Format::Json,
                ..Options::default()
            },
            ramdisk: None,
            image: None,
            deadline: generous_deadline(Shape::of(smp).cpus),
            arguments: Vec::new(),
            actions: Vec::new(),
            fewer_cpus: false,
            check: Box::new(judge::all_tests_passed),
        }
    }

    /// One case for each number of CPUs.
    #[must_use]
    pub fn matrix(guest: &'static str, cpus: &[u32]) -> Vec<Self> {
        cpus.iter()
            .map(|cpus| Self::new(guest, &cpus.to_string()))
            .collect()
    }

    /// The kernel itself instead of a test guest; it is to run for so many seconds and to pass.
    #[must_use]
    pub fn kernel(smp: &str, seconds: u32) -> Self {
        let mut case = Self::new("kernel", smp);
        case.package = "kernel";
        case.options.seconds = seconds;
        case.deadline += Duration::from_secs(seconds.into()) * 10;
        case.check = Box::new(judge::ended_well);
        case
    }

    /// Gives it another name than that of its `-smp` value.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Another machine than q35. Its name becomes part of the case's.
    #[must_use]
    pub fn on(mut self, machine: Machine) -> Self {
        self.name = format!("{}_{}", machine, self.name);
        self.machine = machine;
        self
    }

    /// Started by UEFI. Where there is no OVMF, the case is shown as ignored.
    #[must_use]
    pub fn uefi(mut self) -> Self {
        self.firmware = Firmware::Uefi;
        // What OVMF takes on a busy host.
        self.deadline += Duration::from_secs(180);
        self
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

    /// With TCG even where KVM would be faster: for what only TCG lacks or has.
    #[must_use]
    pub fn tcg(mut self) -> Self {
        self.accel = Accel::Tcg;
        self
    }

    /// With KVM, even one that is slow. Where /dev/kvm does not open, the case is shown as ignored.
    #[must_use]
    pub fn kvm(mut self) -> Self {
        self.name = format!("kvm_{}", self.name);
        self.accel = Accel::Kvm;
        self
    }

    /// Another CPU model than `max`. Its name becomes part of the case's.
    #[must_use]
    pub fn cpu(mut self, model: &str) -> Self {
        self.name = format!("{model}_{}", self.name);
        // Of two, QEMU takes the last.
        self.qemu(["-cpu", model])
    }

    /// So much memory instead of what [`Boot`] gives by the number of CPUs.
    #[must_use]
    pub fn memory_mib(mut self, mib: u32) -> Self {
        self.memory_mib = Some(mib);
        self
    }

    /// The firmware lists one more CPU, with this APIC ID, which never starts.
    #[must_use]
    pub fn ghost(mut self, apic_id: u32) -> Self {
        self.name = format!("{}_ghost_{apic_id}", self.name);
        self.options.ghost = Some(apic_id);
        self
    }

    /// Other options: `.options(|o| o.start = StartMode::Serial)`. [`named`](Self::named) tells them in the
    /// case's name.
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

    /// An image that is linked by itself, for the guest to load: the package, whose binary is named like it.
    /// The guest finds it as QEMU's file `opt/<package>`.
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

    /// Not all CPUs of the machine are to come online. Otherwise the first that is missing ends the case. (A
    /// case with a fault in the start says so itself.)
    #[must_use]
    pub fn fewer_cpus(mut self) -> Self {
        self.fewer_cpus = true;
        self
    }

    /// Further arguments for QEMU, after all others.
    #[must_use]
    pub fn qemu<const N: usize>(mut self, arguments: [&str; N]) -> Self {
        self.arguments.extend(arguments.map(str::to_owned));
        self
    }

    /// Something that QEMU's monitor is to do meanwhile: see [`Boot::act`]. How often it was done is in
    /// [`Report::done`].
    #[must_use]
    pub fn act(mut self, action: Action) -> Self {
        self.actions.push(action);
        self
    }

    /// A command of QMP, done once when this test starts.
    #[must_use]
    pub fn when_test(self, name: &str, command: &str, arguments: Value) -> Self {
        let when = Trigger::TestStart(name.to_owned());
        self.act(Action::qmp(when, command, arguments))
    }

    /// A command of QMP, done once when the kernel has said hello: no other CPU has started yet.
    #[must_use]
    pub fn when_hello(self, command: &str, arguments: Value) -> Self {
        self.act(Action::qmp(Trigger::Hello, command, arguments))
    }

    /// QEMU is asked what the local APIC of each of the first `cpus` is set to, when the first test
    /// starts. Its answers are in [`Report::answers`].
    #[must_use]
    pub fn ask_lapics(mut self, cpus: u32) -> Self {
        for id in 0..cpus {
            self = self.act(Action::ask(Trigger::FirstTest, &format!("info lapic {id}")));
        }
        self
    }

    /// NMIs from QEMU's monitor, one to each CPU every so often, from the first test on: see
    /// [`Boot::inject_nmis`].
    #[must_use]
    pub fn inject_nmis(self, every: Duration) -> Self {
        self.act(Action::nmis(Trigger::FirstTest, every))
    }

    /// NMIs from QEMU's monitor, one to each CPU every so often, from before any other CPU starts.
    #[must_use]
    pub fn inject_nmis_from_start(self, every: Duration) -> Self {
        self.act(Action::nmis(Trigger::Hello, every))
    }

    /// Twice, with this seed: the guest is to write the same both times, to the byte; the storm something else with
    /// another seed.
    #[must_use]
    pub fn replayed(mut self, seed: u32) -> Self {
        self.name = format!("{}_seed_{seed}", self.name);
        self.options.seed = Some(seed);
        self.deadline *= 5;
        self
    }

    /// A further demand on the report of a guest that is to pass.
    #[must_use]
    pub fn also(mut self, check: impl Fn(&Report) -> Result<()> + Send + 'static) -> Self {
        let usual = self.check;
        self.check = Box::new(move |report| usual(report).and_then(|()| check(report)));
        self
    }

    /// Other demands than that the guest passes: for guests that are to fail.
    #[must_use]
    pub fn expecting(mut self, check: impl Fn(&Report) -> Result<()> + Send + 'static) -> Self {
        self.check = Box::new(check);
        self
    }

    /// Demands on the text on the screen instead of the usual ones: nothing ends this machine but its monitor, once
    /// the kernel says that it is done. With [`uefi`](Self::uefi): PVH has no screen.
    #[must_use]
    pub fn screen(self, check: impl Fn(&str) -> Result<()> + Send + 'static) -> Self {
        let file = format!("screen-{}-{}.ppm", std::process::id(), self.name);
        let picture = std::env::temp_dir().join(file);
        let done = || Trigger::Log("done: switch off or press reset".to_owned());
        let dump = format!("screendump {}", picture.display());
        self.qemu(["-set", "device.exit.iobase=0xf8"])
            .act(Action::hmp(done(), &dump))
            .act(Action::qmp(done(), "quit", Value::Null))
            .expecting(move |_| {
                let ppm = fs::read(&picture)?;
                fs::remove_file(&picture)?;
                let text = screen::text_of(&ppm)?;
                check(&text).with_context(|| format!("the screen:\n{text}"))
            })
    }

    /// Its name within the scenario.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it cannot be run on this host, if it cannot.
    #[must_use]
    pub fn skipped(&self) -> Option<&'static str> {
        let needs_kvm = self.accel == Accel::Kvm;
        if needs_kvm && !Host::probe().kvm_opens {
            return Some("no /dev/kvm");
        }
        let needs_ovmf = self.firmware == Firmware::Uefi;
        (needs_ovmf && Ovmf::find().is_err()).then_some("no OVMF: sh boot/setup.sh --tests")
    }

    /// Whether it is [rare](Self::rare).
    #[must_use]
    pub fn is_rare(&self) -> bool {
        self.rare
    }

    /// The CPUs that its machine has.
    #[must_use]
    pub fn shape(&self) -> Shape {
        let mut shape = Shape::of(&self.smp);
        shape.ghost = self.options.ghost;
        shape
    }

    /// Boots it and applies its check. `again` is the command that runs this case alone; `show`
    /// prints the serial output of a guest that passes, too.
    ///
    /// # Errors
    ///
    /// If the guest cannot be built or QEMU not be started, with the reason; if the check fails, with
    /// the whole story for a person.
    pub fn run(&self, again: &str, show: bool) -> Result<(), String> {
        let report = self
            .boot(self.options)
            .map_err(|error| format!("{error:#}"))?;
        if show {
            println!("{}", report.lines.join("\n"));
        }
        let check = (self.check)(&report).and_then(|()| self.replay(&report));
        check.map_err(|trouble| failure::describe(&trouble, &report, again))
    }

    /// If it has a seed: boots it again, and compares.
    fn replay(&self, first: &Report) -> Result<()> {
        let Some(seed) = self.options.seed else {
            return Ok(());
        };
        let second = self.boot(self.options)?;
        let lines = first.lines.iter().zip(&second.lines);
        if let Some((number, (first, second))) = (1..).zip(lines).find(|(_, (a, b))| a != b) {
            bail!("seed {seed}: line {number} was {first:?}, and then {second:?}");
        }
        let lengths = (first.lines.len(), second.lines.len());
        ensure!(
            lengths.0 == lengths.1,
            "seed {seed}: {} lines, and then {}",
            lengths.0,
            lengths.1
        );
        if self.package == "kernel" {
            // An instruction takes as long with this seed, but turns end elsewhere. The storm counts what comes of it.
            let other = seed + 7;
            let third = self.boot(Options {
                seed: Some(other),
                ..self.options
            })?;
            ensure!(
                first.lines != third.lines,
                "seed {other} is the same run as seed {seed}"
            );
        }
        Ok(())
    }

    fn boot(&self, mut options: Options) -> Result<Report> {
        let seed = std::env::var(SEED).ok().map(|seed| seed.parse());
        let seed = seed.transpose().context(SEED)?;
        if seed.is_some() {
            let repeats = self.actions.is_empty() && self.accel != Accel::Kvm;
            ensure!(repeats, "{SEED}: a seed does not repeat this run");
            options.seed = seed;
        }
        let mut elf: PathBuf = guests::elf(self.package, self.guest)?;
        let made = self
            .stick
            .map(|_| tempfile::Builder::new().suffix(".img").tempfile());
        let made = made.transpose()?;
        if let (Some(make), Some(stick)) = (self.stick, &made) {
            make(&elf, &options.to_string(), stick.path())?;
            elf = stick.path().to_path_buf();
        }
        let mut boot = Boot::new(elf)
            .smp(&self.smp)
            .machine(self.machine)
            .firmware(self.firmware)
            .accel(self.accel)
            .options(&options)
            .deadline(seed.map_or(self.deadline, |_| NEVER))
            .qemu_args(&self.arguments);
        if seed.is_some() {
            boot = boot.qemu_args(["-device", "ib700"]);
        }
        boot = match (options, self.fewer_cpus) {
            (Options { fault: Some(_), .. } | Options { hide: Some(_), .. }, _) | (_, true) => {
                boot.cpus_may_be_missing()
            }
            (Options { ghost: Some(_), .. }, _) => boot,
            _ => boot.ends_if_a_cpu_is_missing(),
        };
        if let Some(mib) = self.memory_mib {
            boot = boot.memory_mib(mib);
        }
        if let Some(contents) = &self.ramdisk {
            boot = boot.ramdisk(contents.as_slice());
        }
        if let Some(package) = self.image {
            let file = guests::elf(package, package)?;
            let file = format!("name=opt/{package},file={}", file.display());
            boot = boot.qemu_args(&["-fw_cfg".to_owned(), file]);
        }
        for action in &self.actions {
            boot = boot.act(action.clone());
        }
        boot.run()
            .with_context(|| format!("{} with -smp {}", self.guest, self.smp))
    }
}

/// Long enough that only a hang reaches it: many virtual CPUs on few busy host CPUs are slow.
fn generous_deadline(cpus: u32) -> Duration {
    Duration::from_secs(60) + Duration::from_secs(2) * cpus
}
