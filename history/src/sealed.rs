//! Sealed files: values by point, instant and version, as Parquet that any analysis tool reads.
//!
//! Columns: `point` (`bus.34.u.a`), `measured_at`, `received_at` (UTC, µs), `value`, `std` (in the unit of the quantity),
//! `quality`. What each row group covers, and its checksum, stands in the file's metadata under `gridflex.groups`; the checksum
//! of all that follows the last row group is part of the file's name. So damage is found wherever it is.

use crate::error::{HistoryError, io_in};
use crate::log::{from_micros, micros};
use crate::query::{Gathered, Wanted};
use crate::value::{Kind, Value, code};
use bytes::Bytes;
use files::Disk;
use grid::{PointId, Quality, Timestamp};
use parquet::basic::{Compression, Encoding};
use parquet::column::reader::ColumnReader;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader, FileReader, Length, RowGroupReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{Cursor, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const SCHEMA: &str = "message history { required binary point (UTF8); required int64 measured_at (TIMESTAMP(MICROS,true)); \
    required int64 received_at (TIMESTAMP(MICROS,true)); required double value; optional double std; \
    required binary quality (UTF8); }";
const COVERED: &str = "gridflex.groups";
/// Rows of a row group: what a query reads at least.
pub(crate) const GROUP_ROWS: usize = 32_768;
/// Rows of a row group that are read, at most: a file may be damaged.
const ROWS_MAX: usize = 1 << 22;
/// Bytes of metadata at the end of a file that are read, at most.
const END_MAX: usize = 1 << 26;
/// The last bytes of a Parquet file: the length of its metadata, and a word.
const TAIL: u64 = 8;

/// What a row group covers, and where it lies in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Covered {
    first: u64,
    last: u64,
    from_us: i64,
    until_us: i64,
    rows: u64,
    start: u64,
    end: u64,
    /// First half of the SHA-256 of its bytes, hexadecimal: damage is found before anything is decoded.
    sha256: String,
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Covered {
    fn of(rows: &[&Value], start: usize, bytes: &[u8]) -> Self {
        let point = |row: Option<&&Value>| row.map_or(0, |row| code(row.point));
        let instants = || rows.iter().map(|row| micros(row.measured_at));
        Self {
            first: point(rows.first()),
            last: point(rows.last()),
            from_us: instants().min().unwrap_or(0),
            until_us: instants().max().unwrap_or(0),
            rows: rows.len() as u64,
            start: start as u64,
            end: (start + bytes.len()) as u64,
            sha256: digest(bytes),
        }
    }
}

/// A sealed file and what it covers.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub name: String,
    pub kind: Kind,
    groups: Vec<Covered>,
    pub bytes: u64,
}

impl Sealed {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// The newest instant in it.
    pub fn newest(&self) -> Timestamp {
        from_micros(self.groups.iter().map(|group| group.until_us).max().unwrap_or(i64::MIN / 1000))
    }

    /// The oldest instant in it.
    pub fn oldest(&self) -> Timestamp {
        from_micros(self.groups.iter().map(|group| group.from_us).min().unwrap_or(i64::MAX / 1000))
    }

    /// Reads what a file covers. `sum` is the checksum of its end that its name gives.
    pub fn open(disk: &dyn Disk, name: &str, kind: Kind, sum: &str) -> Result<Self, HistoryError> {
        let io = |doing| io_in(disk, name, doing);
        let damaged = |reason: &str| damaged(disk, name, reason.to_owned());
        let bytes = disk.size(name).map_err(io("looking at"))?;
        let tail = disk.read(name, bytes.saturating_sub(TAIL), TAIL).map_err(io("reading"))?;
        let metadata = tail.first_chunk().map(|length| u64::from(u32::from_le_bytes(*length)) + TAIL);
        let metadata = metadata.filter(|length| *length <= bytes.min(END_MAX as u64));
        let metadata = metadata.ok_or_else(|| damaged("it is too short or too long"))?;
        let start = bytes - metadata;
        let footer = disk.read(name, start, metadata).map_err(io("reading"))?;
        let groups = guarded(disk, name, || covered(disk, name, Ends::end(bytes, start, footer)))?;
        let file = Self { name: name.to_owned(), kind, groups, bytes };
        let end = file.end(disk)?;
        match end.parts.iter().all(|end| digest(&end.bytes) == sum) {
            true => Ok(file),
            false => Err(damaged("the checksum in its name is that of another file")),
        }
    }

    /// Everything after the last row group.
    pub fn end(&self, disk: &dyn Disk) -> Result<Ends, HistoryError> {
        let start = end_of(&self.groups) as u64;
        let length = self.bytes.checked_sub(start).filter(|length| *length <= END_MAX as u64);
        let length =
            length.ok_or_else(|| damaged(disk, &self.name, "it is too short or too long".to_owned()))?;
        let end = disk.read(&self.name, start, length).map_err(io_in(disk, &self.name, "reading"))?;
        Ok(Ends::end(self.bytes, start, end))
    }

    /// Adds what is wanted of it to `found`.
    pub fn search(&self, disk: &dyn Disk, wanted: &Wanted, found: &mut Gathered) -> Result<(), HistoryError> {
        let groups = self.groups_for(wanted);
        if groups.is_empty() {
            return Ok(());
        }
        let end = self.end(disk)?;
        for at in groups {
            for value in self.rows_of(disk, &end, at)?.into_iter().filter(|value| wanted.fits(value)) {
                found.put(value)?;
            }
        }
        Ok(())
    }

    /// The row groups in which something wanted may be.
    pub fn groups_for(&self, wanted: &Wanted) -> Vec<usize> {
        let fits = |group: &Covered| {
            let instants = (from_micros(group.from_us), from_micros(group.until_us));
            wanted.overlaps((group.first, group.last), instants)
        };
        let fitting = self.groups.iter().enumerate().filter(|(_, group)| fits(group));
        fitting.map(|(at, _)| at).collect()
    }

    /// The values of one row group.
    pub fn rows_of(&self, disk: &dyn Disk, end: &Ends, at: usize) -> Result<Vec<Value>, HistoryError> {
        let damaged = |reason: String| damaged(disk, &self.name, reason);
        let nowhere = || damaged(format!("row group {at} lies nowhere"));
        let group = self.groups.get(at).ok_or_else(nowhere)?;
        let length = group.end.checked_sub(group.start).filter(|_| group.end <= self.bytes);
        let length = length.ok_or_else(nowhere)?;
        let bytes = disk.read(&self.name, group.start, length).map_err(io_in(disk, &self.name, "reading"))?;
        if digest(&bytes) != group.sha256 {
            return Err(damaged(format!("the checksum of row group {at} is wrong")));
        }
        let parts = end.with(group.start, bytes);
        guarded(disk, &self.name, || {
            let rows = SerializedFileReader::new(parts).and_then(|reader| {
                read_group(reader.get_row_group(at)?.as_ref(), group.rows as usize, self.kind)
            });
            rows.map_err(|error| damaged(error.to_string()))
        })
    }
}

/// What its metadata says of a file's row groups.
fn covered(disk: &dyn Disk, name: &str, end: Ends) -> Result<Vec<Covered>, HistoryError> {
    let damaged = |reason: String| damaged(disk, name, reason);
    let reader = SerializedFileReader::new(end).map_err(|error| damaged(error.to_string()))?;
    let pairs = reader.metadata().file_metadata().key_value_metadata();
    let covered = pairs.into_iter().flatten().find(|pair| pair.key == COVERED);
    let covered = covered.and_then(|pair| pair.value.as_ref());
    let covered = covered.ok_or_else(|| damaged(format!("{COVERED} is missing in its metadata")))?;
    let groups: Vec<Covered> =
        serde_json::from_str(covered).map_err(|error| damaged(format!("{COVERED}: {error}")))?;
    match groups.len() == reader.num_row_groups() {
        true => Ok(groups),
        false => Err(damaged(format!("{COVERED} speaks of another number of row groups"))),
    }
}

fn damaged(disk: &dyn Disk, name: &str, reason: String) -> HistoryError {
    HistoryError::Damaged { path: disk.place().join(name), reason }
}

/// What was read of a file, above all its end, for the Parquet library: so that an error of the disk is told from damage.
#[derive(Clone)]
pub(crate) struct Ends {
    length: u64,
    parts: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Ends {
    /// The end of a file of `length` bytes, from byte `start` on.
    fn end(length: u64, start: u64, bytes: Vec<u8>) -> Self {
        Self { length, parts: vec![Part { start, bytes: bytes.into() }] }
    }

    /// And another part of it.
    fn with(&self, start: u64, bytes: Vec<u8>) -> Self {
        let mut parts = self.clone();
        parts.parts.push(Part { start, bytes: bytes.into() });
        parts
    }

    /// The bytes from `start` on that were read with it.
    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let of = |part: &Part| {
            let skipped = usize::try_from(start.checked_sub(part.start)?).ok()?;
            (skipped <= part.bytes.len()).then(|| part.bytes.slice(skipped..))
        };
        let found = self.parts.iter().filter_map(of).max_by_key(Bytes::len);
        found.ok_or_else(|| ParquetError::General(format!("byte {start} lies outside of what it covers")))
    }
}

impl Length for Ends {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Ends {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Cursor<Bytes>, ParquetError> {
        self.from(start).map(Cursor::new)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        match length <= bytes.len() {
            true => Ok(bytes.slice(..length)),
            false => Err(ParquetError::General(format!("{length} bytes at {start} were not read"))),
        }
    }
}

/// The Parquet library panics on some damaged files; here that is an error like others.
fn guarded<T>(
    disk: &dyn Disk,
    name: &str,
    read: impl FnOnce() -> Result<T, HistoryError>,
) -> Result<T, HistoryError> {
    let panicked = || damaged(disk, name, "it cannot be read".to_owned());
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(panicked()))
}

/// What the name of a sealed file says: kind, number of its log, checksum of its end.
pub(crate) fn parse_name(name: &str) -> Option<(Kind, u64, &str)> {
    let (start, sum) = name.strip_suffix(".parquet")?.split_once('.')?;
    let (word, number) = start.split_once('-')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    Some((kind, number.parse().ok()?, sum))
}

/// Writes sorted values of one kind as the sealed file of a log. It appears under its name only when it is whole and synced.
pub(crate) fn write(
    disk: &dyn Disk,
    kind: Kind,
    number: u64,
    values: &[&Value],
) -> Result<Sealed, HistoryError> {
    let unfinished = format!("{}-{number:010}.unfinished", kind.word());
    let io = |doing| io_in(disk, &unfinished, doing);
    let encoded = encoded(values).map_err(|error| std::io::Error::other(error.to_string()));
    let (encoded, groups) = encoded.map_err(io("writing"))?;
    let sum = digest(&encoded[end_of(&groups)..]);
    let name = format!("{}-{number:010}.{sum}.parquet", kind.word());
    let write = || {
        disk.create(&unfinished).map_err(io("making"))?;
        disk.write(&unfinished, 0, &encoded).map_err(io("writing"))?;
        disk.sync(&unfinished).map_err(io("syncing"))?;
        disk.rename(&unfinished, &name).map_err(io("renaming"))
    };
    write().inspect_err(|_| {
        // What is half there takes room that the log may need.
        drop(disk.remove(&unfinished));
    })?;
    Ok(Sealed { name, kind, groups, bytes: encoded.len() as u64 })
}

/// Where the last row group ends.
fn end_of(groups: &[Covered]) -> usize {
    groups.iter().map(|group| group.end as usize).max().unwrap_or(0)
}

fn encoded(values: &[&Value]) -> Result<(Vec<u8>, Vec<Covered>), ParquetError> {
    let mut writer = writer(Vec::new())?;
    let mut groups = Vec::new();
    for rows in values.chunks(GROUP_ROWS) {
        let start = writer.bytes_written();
        write_group(&mut writer, rows)?;
        let bytes = writer.inner().get(start..).unwrap_or_default();
        groups.push(Covered::of(rows, start, bytes));
    }
    let covered = serde_json::to_string(&groups).map_err(|error| ParquetError::General(error.to_string()))?;
    writer.append_key_value_metadata(KeyValue::new(COVERED.to_owned(), covered));
    Ok((writer.into_inner()?, groups))
}

/// A file for others, row group by row group.
pub(crate) struct FileWriter<W: Write + Send>(SerializedFileWriter<W>);

impl<W: Write + Send> FileWriter<W> {
    pub fn new(file: W) -> std::io::Result<Self> {
        writer(file).map(Self).map_err(std::io::Error::other)
    }

    /// One row group.
    pub fn put(&mut self, rows: &[Value]) -> std::io::Result<()> {
        let rows: Vec<&Value> = rows.iter().collect();
        write_group(&mut self.0, &rows).map_err(std::io::Error::other)
    }

    pub fn finish(self) -> std::io::Result<W> {
        self.0.into_inner().map_err(std::io::Error::other)
    }
}

fn writer<W: Write + Send>(file: W) -> Result<SerializedFileWriter<W>, ParquetError> {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("gridflex ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::SNAPPY);
    for instants in ["measured_at", "received_at"] {
        properties = properties
            .set_column_dictionary_enabled(column(instants), false)
            .set_column_encoding(column(instants), Encoding::DELTA_BINARY_PACKED);
    }
    for floats in ["value", "std"] {
        properties = properties
            .set_column_dictionary_enabled(column(floats), false)
            .set_column_encoding(column(floats), Encoding::BYTE_STREAM_SPLIT);
    }
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    SerializedFileWriter::new(file, schema, Arc::new(properties.build()))
}

fn write_group<W: Write + Send>(
    writer: &mut SerializedFileWriter<W>,
    rows: &[&Value],
) -> Result<(), ParquetError> {
    let mut group = writer.next_row_group()?;
    let mut last: Option<(PointId, ByteArray)> = None;
    let names = rows.iter().map(|row| match &last {
        Some((point, name)) if *point == row.point => name.clone(),
        _ => {
            let name = ByteArray::from(row.point.to_string().as_str());
            last = Some((row.point, name.clone()));
            name
        }
    });
    let names: Vec<ByteArray> = names.collect();
    put::<ByteArrayType, _>(&mut group, &names, None)?;
    let instants = |of: fn(&Value) -> Timestamp| rows.iter().map(|row| micros(of(row))).collect::<Vec<_>>();
    put::<Int64Type, _>(&mut group, &instants(|row| row.measured_at), None)?;
    put::<Int64Type, _>(&mut group, &instants(|row| row.received_at), None)?;
    put::<DoubleType, _>(&mut group, &rows.iter().map(|row| row.value).collect::<Vec<_>>(), None)?;
    let present: Vec<i16> = rows.iter().map(|row| i16::from(row.std.is_some())).collect();
    let stds: Vec<f64> = rows.iter().filter_map(|row| row.std).collect();
    put::<DoubleType, _>(&mut group, &stds, Some(&present))?;
    let words = QUALITIES.map(|(_, word)| ByteArray::from(word));
    let quality =
        |row: &Value| QUALITIES.iter().position(|(quality, _)| *quality == row.quality).unwrap_or(4);
    let qualities: Vec<ByteArray> = rows.iter().map(|row| words[quality(row)].clone()).collect();
    put::<ByteArrayType, _>(&mut group, &qualities, None)?;
    group.close().map(drop)
}

const QUALITIES: [(Quality, &str); 6] = [
    (Quality::Measured, "measured"),
    (Quality::Estimated, "estimated"),
    (Quality::Substituted, "substituted"),
    (Quality::Forecast, "forecast"),
    (Quality::Missing, "missing"),
    (Quality::Implausible, "implausible"),
];

fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than values".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}

fn read_group(group: &dyn RowGroupReader, rows: usize, kind: Kind) -> Result<Vec<Value>, ParquetError> {
    let wrong = |what: &str| ParquetError::General(format!("column {what} is not what it should be"));
    let rows = rows.min(usize::try_from(group.metadata().num_rows()).unwrap_or(0));
    if rows > ROWS_MAX {
        return Err(wrong("of some kind: too many rows in a group"));
    }
    let names = bytes_of(group.get_column_reader(0)?, rows)?.ok_or_else(|| wrong("point"))?;
    let measured = instants_of(group.get_column_reader(1)?, rows)?.ok_or_else(|| wrong("measured_at"))?;
    let received = instants_of(group.get_column_reader(2)?, rows)?.ok_or_else(|| wrong("received_at"))?;
    let (values, _) = floats_of(group.get_column_reader(3)?, rows)?.ok_or_else(|| wrong("value"))?;
    let (stds, present) = floats_of(group.get_column_reader(4)?, rows)?.ok_or_else(|| wrong("std"))?;
    let qualities = bytes_of(group.get_column_reader(5)?, rows)?.ok_or_else(|| wrong("quality"))?;
    let lengths = [names.len(), measured.len(), received.len(), values.len(), qualities.len(), present.len()];
    if lengths.iter().any(|length| *length != rows) {
        return Err(wrong("of some kind"));
    }
    let mut found: Vec<Value> = Vec::with_capacity(rows);
    let (mut last, mut stds) = (None::<(ByteArray, PointId)>, stds.into_iter());
    for at in 0..rows {
        let point = match &last {
            Some((name, point)) if *name == names[at] => *point,
            _ => {
                let text = std::str::from_utf8(names[at].data()).map_err(|_| wrong("point"))?;
                let point: PointId = text.parse().map_err(|_| wrong("point"))?;
                last = Some((names[at].clone(), point));
                point
            }
        };
        let quality = QUALITIES.iter().find(|(_, word)| word.as_bytes() == qualities[at].data());
        found.push(Value {
            kind,
            point,
            value: values[at],
            std: if present[at] == 1 { stds.next() } else { None },
            quality: quality.ok_or_else(|| wrong("quality"))?.0,
            measured_at: from_micros(measured[at]),
            received_at: from_micros(received[at]),
        });
    }
    Ok(found)
}

fn bytes_of(column: ColumnReader, rows: usize) -> Result<Option<Vec<ByteArray>>, ParquetError> {
    let ColumnReader::ByteArrayColumnReader(mut column) = column else { return Ok(None) };
    let mut values = Vec::with_capacity(rows);
    column.read_records(rows, None, None, &mut values)?;
    Ok(Some(values))
}

fn instants_of(column: ColumnReader, rows: usize) -> Result<Option<Vec<i64>>, ParquetError> {
    let ColumnReader::Int64ColumnReader(mut column) = column else { return Ok(None) };
    let mut values = Vec::with_capacity(rows);
    column.read_records(rows, None, None, &mut values)?;
    Ok(Some(values))
}

/// The values that are there, and for each row whether it has one.
fn floats_of(column: ColumnReader, rows: usize) -> Result<Option<(Vec<f64>, Vec<i16>)>, ParquetError> {
    let ColumnReader::DoubleColumnReader(mut column) = column else { return Ok(None) };
    let (mut values, mut present) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    column.read_records(rows, Some(&mut present), None, &mut values)?;
    Ok(Some((values, present)))
}
