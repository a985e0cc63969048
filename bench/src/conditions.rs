//! Where, when and in what company it was measured. A number without that is worth nothing.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::figures::{Spread, Unit};

/// Above this share of the processors used by others, or this spread of the calibration loop, numbers are not to be trusted
/// beyond their order of magnitude.
const NOISY_PERCENT: f64 = 12.0;
/// See [`NOISY_PERCENT`].
const NOISY_SPREAD: f64 = 1.25;

/// How long others are watched before each run, while we do nothing.
const WATCH: Duration = Duration::from_millis(300);

/// Steps of the calibration loop: about a fifth of a second of arithmetic.
const STEPS: u64 = 100_000_000;

/// What does not change during a measurement.
#[derive(Debug)]
pub struct Conditions {
    /// When it began.
    pub began: Timestamp,
    processor: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    file_system: String,
    build: String,
}

impl Conditions {
    /// Notes them. `scratch` is where stores and pods will live.
    pub fn observe(scratch: &Path) -> Self {
        let of = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(name));
            let value = line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim());
            value.unwrap_or("unknown").to_owned()
        };
        let kib: f64 = field(&of("/proc/meminfo"), "MemTotal")
            .trim_end_matches(" kB")
            .parse()
            .unwrap_or(f64::NAN);
        let build = if cfg!(debug_assertions) { "debug (not to be trusted)" } else { "release" };
        Self {
            began: Timestamp::now(),
            processor: field(&of("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib / (1 << 20) as f64,
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            file_system: file_system(&of("/proc/self/mounts"), scratch),
            build: format!("{build}, {}", commit()),
        }
    }

    /// As lines of a list.
    pub fn render(&self, noise: &Noise) -> String {
        let mut text = format!(
            "- {} x {}, {:.0} GiB, Linux {}\n- stores and pods on {}\n- build: {}\n- begun {}, took {:.0} min\n",
            self.cores,
            self.processor,
            self.memory_gib,
            self.kernel,
            self.file_system,
            self.build,
            self.began.strftime("%Y-%m-%d %H:%M UTC"),
            Timestamp::now().duration_since(self.began).as_secs_f64() / 60.0,
        );
        text.push_str(&noise.render());
        text
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| -> Option<String> {
        let output = std::process::Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let folder = concat!("--git-dir=", env!("CARGO_MANIFEST_DIR"), "/../.git");
    let commit = git(&[folder, "rev-parse", "--short", "HEAD"])
        .or_else(|| git(&["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "--short", "HEAD"]));
    commit.map_or_else(|| "commit unknown".into(), |commit| format!("commit {commit}"))
}

/// The kind of file system a folder is on: that of the longest mount point above it.
fn file_system(mounts: &str, folder: &Path) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    above
        .filter(|(at, _)| folder.starts_with(at))
        .max_by_key(|(at, _)| at.len())
        .map_or_else(|| "an unknown file system".into(), |(_, kind)| kind.to_owned())
}

/// What else the machine did.
#[derive(Debug, Default)]
pub struct Noise {
    others: Vec<f64>,
    loops: Vec<f64>,
    loads: Vec<f64>,
    stolen: Vec<f64>,
}

impl Noise {
    /// Looks around while nothing of ours runs.
    pub fn look(&mut self) {
        let before = Ticks::now();
        std::thread::sleep(WATCH);
        let after = Ticks::now();
        let all = after.all.saturating_sub(before.all).max(1);
        let share = |now: u64, then: u64| 100.0 * now.saturating_sub(then) as f64 / all as f64;
        self.others.push(share(after.busy, before.busy));
        self.stolen.push(share(after.stolen, before.stolen));
        self.loads.push(load());
        let began = Instant::now();
        let mut state = 1_u64;
        for step in 0..STEPS {
            state = black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step));
        }
        black_box(state);
        self.loops.push(began.elapsed().as_secs_f64() * 1e3);
    }

    /// Whether the numbers are to be read with care.
    fn is_noisy(&self) -> bool {
        let spread = |values: &[f64]| Spread::of(values.to_vec());
        spread(&self.others).is_some_and(|s| s.median > NOISY_PERCENT)
            || spread(&self.loops).is_some_and(|s| s.max > NOISY_SPREAD * s.min)
    }

    fn render(&self) -> String {
        let of = |values: &[f64], unit| {
            Spread::of(values.to_vec()).map_or_else(|| "unknown".into(), |s| s.render(unit))
        };
        let verdict = if self.is_noisy() {
            "**a noisy machine: read orders of magnitude and ratios, not digits**"
        } else {
            "a quiet machine"
        };
        format!(
            "- company, before each run: others used {} of the processors, {} stolen by the host, load {}; \
             a fixed loop of arithmetic took {}: {verdict}\n",
            of(&self.others, Unit::Percent),
            of(&self.stolen, Unit::Percent),
            of(&self.loads, Unit::Count),
            of(&self.loops, Unit::Ms),
        )
    }
}

/// Processor time of the whole machine, in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    busy: u64,
    stolen: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(text.lines().next().unwrap_or_default())
    }

    /// The line is `cpu user nice system idle iowait irq softirq steal ...`.
    fn parse(line: &str) -> Self {
        let ticks: Vec<u64> =
            line.split_whitespace().skip(1).take(8).map(|t| t.parse().unwrap_or(0)).collect();
        let at = |index: usize| ticks.get(index).copied().unwrap_or(0);
        let all: u64 = ticks.iter().sum();
        Self { busy: all - at(3) - at(4) - at(7), stolen: at(7), all }
    }
}

fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_nearest_mount_above_it() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(file_system(mounts, Path::new("/tmp/x")), "tmpfs");
        assert_eq!(file_system(mounts, Path::new("/var/x")), "ext4");
    }

    #[test]
    fn waiting_and_stolen_time_is_not_work() {
        let ticks = Ticks::parse("cpu 10 1 5 100 20 2 3 9 0 0");
        assert_eq!((ticks.busy, ticks.stolen, ticks.all), (21, 9, 150));
    }
}
