//! What `gridflex powerflow` and `gridflex estimate` have in common: their options, reading and writing.

use crate::Failure;
use crate::answer::say;
use anyhow::{Context, anyhow};
use clap::Args;
use connectors::opendss;
use connectors::pandapower;
use connectors::power_grid_model::{self, Batch, Input, Writer};
use estimation::solve::Tolerance;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Options of a calculation on one network.
#[derive(Debug, Args)]
pub struct StudyArguments {
    /// The network: power-grid-model JSON, pandapower JSON, or an OpenDSS script (.dss)
    #[arg(value_name = "INPUT.json")]
    pub input: PathBuf,
    /// Folder below which an OpenDSS script may read other files; without it, the script's own
    #[arg(long, value_name = "FOLDER")]
    pub dss_root: Option<PathBuf>,
    /// Changes of one or many scenarios: power-grid-model JSON of type update
    #[arg(long, value_name = "BATCH.json")]
    pub update: Option<PathBuf>,
    /// One phase for all: the positive sequence
    #[arg(long, conflicts_with = "asymmetric")]
    pub symmetric: bool,
    /// Every phase on its own (the default)
    #[arg(long)]
    pub asymmetric: bool,
    /// Where the result goes; without it, to stdout
    #[arg(short, long, value_name = "OUT.json")]
    pub out: Option<PathBuf>,
    /// Largest change of a voltage in the last step, p.u.
    #[arg(long, default_value_t = 1e-8, value_parser = positive)]
    pub tolerance: f64,
    /// Most iterations. An estimate that does not settle is given up earlier in a large network: 100 stand for about a second
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_iterations: u32,
    /// Print a table for people instead: voltages, loadings, iterations
    #[arg(long)]
    pub table: bool,
    /// Draw the voltages over the distance from the source
    #[arg(long, value_name = "OUT.svg")]
    pub plot: Option<PathBuf>,
    /// Print the JSON document to stdout even when --out or --table is given
    #[arg(long)]
    pub json: bool,
}

/// A number between 0 and 1.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value < 1.0 => Ok(value),
        _ => Err(format!("{text:?} is no number between 0 and 1")),
    }
}

impl StudyArguments {
    /// When to stop.
    pub fn stop(&self) -> Tolerance {
        Tolerance { voltage_pu: self.tolerance, iterations_max: self.max_iterations as usize }
    }

    /// The network and its scenarios.
    pub fn read(&self) -> Result<(Input, Option<Batch>), Failure> {
        let refused = |error: power_grid_model::ReadError| Failure::Input(error.into());
        let input = if self.is_opendss() {
            let study = match &self.dss_root {
                Some(root) => opendss::read_path_below(root, &self.input),
                None => opendss::read_path(&self.input),
            };
            let study = study.map_err(|error| Failure::Input(error.into()))?;
            Input::from_parts(study.parts)
        } else if pandapower::is_pandapower(&self.head()) {
            pandapower::read_path(&self.input).map_err(|error| Failure::Input(error.into()))?
        } else {
            power_grid_model::read_path(&self.input).map_err(refused)?
        };
        let update = self.update.as_deref().map(power_grid_model::read_update_path);
        Ok((input, update.transpose().map_err(refused)?))
    }

    /// The beginning of the file; nothing when it cannot be read, which whoever reads all of it will say.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        let _ = File::open(&self.input).map(|file| file.take(4096).read_to_end(&mut head));
        head
    }

    /// Whether the network is an OpenDSS script, by its name.
    pub fn is_opendss(&self) -> bool {
        self.input.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("dss"))
    }

    /// Whether the JSON document is wanted on stdout.
    fn prints_json(&self) -> bool {
        self.json || (self.out.is_none() && !self.table)
    }

    /// A writer to every place where the document goes.
    pub fn writer(&self) -> Result<Writer<Destination>, Failure> {
        let file = self.out.as_deref().map(create).transpose()?;
        let destination = Destination { file, stdout: self.prints_json() };
        Writer::new(destination, self.symmetric, self.update.is_some()).map_err(|error| self.unwritten(error))
    }

    /// An error of writing, as a failure.
    pub fn unwritten(&self, error: std::io::Error) -> Failure {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Failure::NobodyReads;
        }
        let place = self.out.as_ref().map_or("standard output".into(), |out| out.display().to_string());
        Failure::Run(anyhow!(error).context(format!("writing to {place}")))
    }

    /// Prints the table, when it is wanted.
    pub fn print(&self, table: &str) -> Result<(), Failure> {
        if !self.table {
            return Ok(());
        }
        if self.json {
            // Whoever does not read it wanted the document.
            let _ = write!(std::io::stderr(), "{table}");
            return Ok(());
        }
        match say(table.trim_end()) {
            // The files are wanted all the same.
            Err(Failure::NobodyReads) if self.out.is_some() || self.plot.is_some() => Ok(()),
            said => said,
        }
    }

    /// Writes the drawing, when it is wanted.
    pub fn draw(&self, svg: impl FnOnce() -> String) -> Result<(), Failure> {
        let Some(path) = &self.plot else { return Ok(()) };
        std::fs::write(path, svg()).with_context(|| path.display().to_string()).map_err(Failure::Run)
    }

    /// A failure of the calculation, naming the file and the scenario.
    pub fn failed(&self, scenario: Option<usize>, error: impl Into<anyhow::Error>) -> Failure {
        Failure::Run(error.into().context(self.place(scenario)))
    }

    /// An input that makes no sense, naming the file and the scenario.
    pub fn refused(&self, scenario: Option<usize>, error: impl Into<anyhow::Error>) -> Failure {
        Failure::Input(error.into().context(self.place(scenario)))
    }

    fn place(&self, scenario: Option<usize>) -> String {
        match (scenario, &self.update) {
            (Some(scenario), Some(update)) => format!("{}, scenario {scenario}", update.display()),
            _ => self.input.display().to_string(),
        }
    }
}

fn create(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = File::create(path).with_context(|| path.display().to_string()).map_err(Failure::Run)?;
    Ok(BufWriter::with_capacity(1 << 20, file))
}

/// A file, stdout, both or neither.
pub struct Destination {
    file: Option<BufWriter<File>>,
    stdout: bool,
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
        }
        if self.stdout {
            std::io::stdout().lock().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            file.flush()?;
        }
        std::io::stdout().lock().flush()
    }
}
