//! The commands of a script, one line at a time.

use super::class::Entry;
use super::error::{Fault, OpenDssError};
use super::files::{Files, resolve};
use super::lexer::{End, Lexer, Token};
use super::model::{CLASSES, CLASSES_REFUSED, CLASSES_WITHOUT_EFFECT, Model};
use super::table::{COMMANDS, Choice, Command, OPTIONS, find};
use super::value::Value;
use std::path::{Path, PathBuf};

/// Why a file is not read; `gridflex` has `--dss-root`.
const OUTSIDE: &str =
    "it lies outside of the folder that may be read: the script's own, unless --dss-root names another";

/// Most files open inside each other.
const DEPTH_MAX: usize = 16;
/// Most lines of all files together.
const LINES_MAX: usize = 10_000_000;
/// The engine's base frequency when nothing is said, Hz.
const FREQUENCY_HZ: f64 = 60.0;

const ADVICE: &str = "write the circuit without it";

/// What `~` continues.
#[derive(Clone, Copy)]
enum Active {
    Nothing,
    Element(&'static Entry, usize),
    /// An element of a class without effect.
    Ignored,
}

/// Runs scripts.
pub(super) struct Script<'f> {
    files: &'f mut dyn Files,
    pub model: Model,
    active: Active,
    default_frequency_hz: f64,
    folder: PathBuf,
    depth: usize,
    lines: usize,
}

impl<'f> Script<'f> {
    pub fn new(files: &'f mut dyn Files) -> Self {
        Self {
            files,
            model: Model::new(FREQUENCY_HZ),
            active: Active::Nothing,
            default_frequency_hz: FREQUENCY_HZ,
            folder: PathBuf::new(),
            depth: 0,
            lines: 0,
        }
    }

    /// Runs a file. Its folder becomes the one of relative paths, as long as it runs.
    pub fn run(&mut self, path: &Path) -> Result<(), OpenDssError> {
        let source = |source| OpenDssError::File { path: path.to_owned(), source };
        let bytes = self.files.read(path).map_err(source)?;
        let text = String::from_utf8_lossy(&bytes);
        let before = std::mem::replace(&mut self.folder, path.parent().unwrap_or(Path::new("")).to_owned());
        let mut comment = false;
        for (number, line) in text.lines().enumerate() {
            let at = |fault| OpenDssError::Line { path: path.to_owned(), line: number + 1, fault };
            self.lines += 1;
            if self.lines > LINES_MAX {
                return Err(at(Fault::TooMany { what: "lines", limit: LINES_MAX }));
            }
            comment |= line.starts_with("/*");
            if comment {
                comment = !line.contains("*/");
                continue;
            }
            match self.line(line) {
                Ok(None) => {}
                Ok(Some(next)) => {
                    if self.depth >= DEPTH_MAX {
                        return Err(at(Fault::TooMany { what: "files inside each other", limit: DEPTH_MAX }));
                    }
                    self.depth += 1;
                    self.run(&next)?;
                    self.depth -= 1;
                }
                Err(fault) => return Err(at(fault)),
            }
        }
        self.folder = before;
        Ok(())
    }

    /// Runs a line; a file to run next is given back.
    fn line(&mut self, line: &str) -> Result<Option<PathBuf>, Fault> {
        if let Some(rest) = line.trim_start().strip_prefix('~') {
            return self.more(&mut Lexer::new(rest)).map(|()| None);
        }
        let mut lexer = Lexer::new(line);
        let Some((token, end)) = lexer.token() else { return Ok(None) };
        if end == End::Equals {
            return self.assign(token.text, &mut lexer).map(|()| None);
        }
        let unknown = || Fault::UnknownCommand(token.text.chars().take(40).collect());
        let (name, command) = find(&COMMANDS, token.text).ok_or_else(unknown)?;
        match command {
            Command::New => self.create(&mut lexer)?,
            Command::Edit => {
                let (class, name) = object(&mut lexer)?;
                self.select(&class, &name)?;
                self.more(&mut lexer)?;
            }
            Command::More => self.more(&mut lexer)?,
            Command::Set | Command::Solve => self.set(&mut lexer)?,
            Command::Redirect | Command::Compile => {
                let written = lexer.token().map(|(token, _)| token.text).unwrap_or_default();
                return self.path(written).map(Some);
            }
            Command::Clear => {
                self.model = Model::new(self.default_frequency_hz);
                self.active = Active::Nothing;
            }
            Command::BusCoordinates => self.coordinates(&mut lexer)?,
            Command::BatchEdit => self.batch_edit(&mut lexer)?,
            Command::Enable(on) => {
                let (class, name) = object(&mut lexer)?;
                self.select(&class, &name)?;
                self.edit_active(Some("enabled"), &mut Lexer::new(if on { "yes" } else { "no" }))?;
            }
            Command::Ignored => {}
            Command::Refused => return Err(Fault::unsupported(format!("command {name}"), ADVICE)),
        }
        Ok(None)
    }

    fn path(&self, written: &str) -> Result<PathBuf, Fault> {
        let reason = OUTSIDE.to_owned();
        resolve(&self.folder, written).ok_or(Fault::File { path: written.into(), reason })
    }

    fn create(&mut self, lexer: &mut Lexer) -> Result<(), Fault> {
        let (class, name) = object(lexer)?;
        if class == "circuit" {
            if self.model.name.is_some() {
                return Err(Fault::unsupported("a second circuit", "begin with clear"));
            }
            self.model.frequency_hz = self.default_frequency_hz;
            self.model.name = Some(name);
            let entry = entry("vsource")?;
            let at = (entry.create)(&mut self.model, "source".to_owned())?;
            self.active = Active::Element(entry, at);
        } else {
            if self.model.name.is_none() {
                return Err(Fault::NoCircuit);
            }
            if CLASSES_WITHOUT_EFFECT.contains(&class.as_str()) {
                self.active = Active::Ignored;
                return Ok(());
            }
            let entry = entry(&class)?;
            let at = (entry.create)(&mut self.model, name)?;
            self.active = Active::Element(entry, at);
        }
        self.more(lexer)
    }

    fn select(&mut self, class: &str, name: &str) -> Result<(), Fault> {
        self.active = if CLASSES_WITHOUT_EFFECT.contains(&class) {
            Active::Ignored
        } else {
            let entry = entry(class)?;
            let missing = || Fault::Missing { class: class.into(), name: name.into() };
            Active::Element(entry, (entry.find)(&self.model, name).ok_or_else(missing)?)
        };
        Ok(())
    }

    fn more(&mut self, lexer: &mut Lexer) -> Result<(), Fault> {
        self.edit_active(None, lexer)
    }

    fn edit_active(&mut self, first: Option<&str>, lexer: &mut Lexer) -> Result<(), Fault> {
        match self.active {
            Active::Nothing => Err(Fault::NothingActive),
            Active::Ignored => Ok(()),
            Active::Element(entry, at) => {
                let Self { files, model, folder, .. } = self;
                let mut load = |written: &str| {
                    let outside = OUTSIDE.to_owned();
                    let fault = |reason| Fault::File { path: written.into(), reason };
                    let path = resolve(folder, written).ok_or_else(|| fault(outside))?;
                    files.read(&path).map_err(|error| fault(error.to_string()))
                };
                (entry.edit)(model, at, first, lexer, &mut load)
            }
        }
    }

    /// `class.name.property=value`, and further properties behind it.
    fn assign(&mut self, to: &str, lexer: &mut Lexer) -> Result<(), Fault> {
        let parts = to.rsplit_once('.').and_then(|(object, property)| {
            object.split_once('.').map(|(class, name)| (class.to_ascii_lowercase(), name, property))
        });
        let unknown = || Fault::UnknownCommand(to.chars().take(40).collect());
        let (class, name, property) = parts.ok_or_else(unknown)?;
        self.select(&class, &name.to_ascii_lowercase())?;
        self.edit_active(Some(property), lexer)
    }

    /// `batchedit class..* property=value`: every element whose name begins like the pattern.
    fn batch_edit(&mut self, lexer: &mut Lexer) -> Result<(), Fault> {
        let (class, pattern) = object(lexer)?;
        let prefix = pattern
            .strip_suffix(".*")
            .filter(|prefix| prefix.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
        let what = || format!("pattern {pattern:?}");
        let prefix =
            prefix.ok_or_else(|| Fault::unsupported(what(), "write the beginning of the names and .*"))?;
        if CLASSES_WITHOUT_EFFECT.contains(&class.as_str()) {
            return Ok(());
        }
        let entry = entry(&class)?;
        let names = (entry.names)(&self.model);
        let before = self.active;
        for (at, _) in names.iter().enumerate().filter(|(_, name)| name.starts_with(prefix)) {
            self.active = Active::Element(entry, at);
            self.edit_active(None, &mut lexer.clone())?;
        }
        self.active = before;
        Ok(())
    }

    fn set(&mut self, lexer: &mut Lexer) -> Result<(), Fault> {
        while let Some(parameter) = lexer.parameter() {
            let written = if parameter.name.is_empty() { parameter.value.text } else { parameter.name };
            let unknown = || Fault::UnknownOption(written.chars().take(40).collect());
            let (name, choice) = find(&OPTIONS, written).ok_or_else(unknown)?;
            self.choose(name, choice, &parameter.value)?;
        }
        Ok(())
    }

    fn choose(&mut self, name: &'static str, choice: Choice, token: &Token) -> Result<(), Fault> {
        let value = Value { property: name, token };
        let options = &mut self.model.options;
        match choice {
            Choice::DefaultFrequency => {
                self.default_frequency_hz = value.positive()?;
                if self.model.name.is_none() {
                    self.model.frequency_hz = self.default_frequency_hz;
                }
            }
            Choice::VoltageBases => options.voltage_bases_kv = value.numbers()?,
            Choice::LoadMultiplier => options.load_multiplier = value.number()?,
            Choice::ControlMode => {
                options.controls = match value.name().chars().next() {
                    Some('o' | 'n') => false,
                    Some('s') => true,
                    _ => {
                        return Err(Fault::unsupported(
                            format!("control mode {}", value.text()),
                            "use static or off",
                        ));
                    }
                }
            }
            Choice::ControlIterations => options.control_iterations_max = value.count(1..=100_000)?,
            Choice::Mode => {
                let mode = value.name();
                if !mode.starts_with('s') {
                    let advice =
                        "no load shape is run: write mode=snapshot to have every load at its base value";
                    return Err(Fault::unsupported(format!("mode {mode}"), advice));
                }
            }
            Choice::MustBe(usual) => {
                let same = value.name().chars().next() == usual.chars().next();
                if !same {
                    return Err(Fault::unsupported(format!("option {name}={}", value.text()), ADVICE));
                }
            }
            Choice::NoEffect => {}
            Choice::Refuse => return Err(Fault::unsupported(format!("option {name}"), ADVICE)),
        }
        Ok(())
    }

    fn coordinates(&mut self, lexer: &mut Lexer) -> Result<(), Fault> {
        let written = lexer.token().map(|(token, _)| token.text).unwrap_or_default();
        let path = self.path(written)?;
        let bytes = self.files.read(&path);
        let bytes = bytes.map_err(|error| Fault::File { path: path.clone(), reason: error.to_string() })?;
        for line in String::from_utf8_lossy(&bytes).lines() {
            let mut lexer = Lexer::new(line);
            let mut next = || lexer.token().map(|(token, _)| token).unwrap_or_default();
            let (bus, x, y) = (next(), next(), next());
            if bus.text.is_empty() {
                continue;
            }
            let number = |token: &Token| Value { property: "coordinate", token }.number();
            // As in the engine, a heading or an unreadable coordinate matters for buses of the circuit only; nothing
            // electrical depends on it.
            if let (Ok(x), Ok(y)) = (number(&x), number(&y)) {
                self.model.coordinates.insert(bus.text.to_ascii_lowercase(), (x, y));
            }
        }
        Ok(())
    }
}

/// `class.name`, or `object=class.name`.
fn object(lexer: &mut Lexer) -> Result<(String, String), Fault> {
    let parameter = lexer.parameter();
    let parameter =
        parameter.filter(|p| p.name.is_empty() || "object".starts_with(&p.name.to_ascii_lowercase()));
    let text = parameter.map(|parameter| parameter.value.text.to_ascii_lowercase()).unwrap_or_default();
    match text.split_once('.') {
        Some((class, name)) if !name.is_empty() => Ok((class.to_owned(), name.to_owned())),
        _ => Err(Fault::value("element", &text, "class and name, joined by a dot")),
    }
}

fn entry(class: &str) -> Result<&'static Entry, Fault> {
    static ENTRIES: [Entry; CLASSES.len()] = CLASSES;
    if let Some(entry) = ENTRIES.iter().find(|entry| entry.name == class) {
        return Ok(entry);
    }
    if CLASSES_REFUSED.contains(&class) {
        return Err(Fault::unsupported(
            format!("class {class}"),
            "describe it by loads, lines and transformers",
        ));
    }
    Err(Fault::UnknownClass(class.chars().take(40).collect()))
}
