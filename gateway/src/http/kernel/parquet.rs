//! Parquet files as they go out: columns with types, row group by row group, in constant memory.

use std::{pin::Pin, sync::Arc};

use axum::{body::Bytes, response::Response};
use futures::{Stream, StreamExt, stream};
use parquet::{
    basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical},
    column::writer::ColumnWriter,
    data_type::{ByteArray, FixedLenByteArray},
    errors::ParquetError,
    file::{
        properties::{EnabledStatistics, WriterProperties},
        writer::SerializedFileWriter,
    },
    schema::types::Type,
};
use projections::kernel::columns::Kind;
use rust_decimal::Decimal;
use serde_json::Value;

use super::csv;
use crate::problem::Problem;

/// The media type of a Parquet file.
pub(in crate::http) const MEDIA_TYPE: &str = "application/vnd.apache.parquet";

/// Rows of a row group, at most.
const ROWS: usize = 20_000;
/// Bytes of a row group, about: with more it is written.
const BYTES: usize = 8 << 20;
/// Digits of an exact decimal, of those after the point. What has more of the latter cannot be told exactly and breaks the file off.
const PRECISION: u8 = 38;
const SCALE: u8 = 10;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error("{1} does not fit into the column {0}")]
    Unfit(String, Value),
    #[error(transparent)]
    Gone(#[from] tokio::task::JoinError),
}

/// A file that is sent as it is made: the values of its rows, page by page.
pub(in crate::http) fn file(
    name: &str,
    columns: Vec<(String, Kind)>,
    pages: impl Stream<Item = Result<Vec<Vec<Value>>, Problem>> + Send + 'static,
) -> Result<Response, Problem> {
    let sheet = Sheet::new(columns).map_err(|fault| Problem::broken(&fault))?;
    let state: Option<(Sheet, Pages)> = Some((sheet, Box::pin(pages)));
    let parts = stream::unfold(state, async |state| {
        let (sheet, mut pages) = state?;
        let page = match pages.next().await.transpose() {
            Ok(page) => page,
            Err(problem) => return Some((Err(problem), None)),
        };
        match worked(sheet, page).await {
            Ok((bytes, sheet)) => Some((Ok(Bytes::from(bytes)), sheet.map(|sheet| (sheet, pages)))),
            Err(fault) => Some((Err(Problem::broken(&fault)), None)),
        }
    });
    // Most pages only wait for their row group.
    let parts = parts.filter(|part| std::future::ready(!matches!(part, Ok(bytes) if bytes.is_empty())));
    Ok(csv::download(name, MEDIA_TYPE, parts))
}

type Pages = Pin<Box<dyn Stream<Item = Result<Vec<Vec<Value>>, Problem>> + Send>>;

/// A page more, or the end; what there is of the file by then. Encoding takes a while: other requests do not wait for it.
async fn worked(mut sheet: Sheet, page: Option<Vec<Vec<Value>>>) -> Result<(Vec<u8>, Option<Sheet>), Fault> {
    tokio::task::spawn_blocking(move || match page {
        Some(rows) => Ok((sheet.take(rows)?, Some(sheet))),
        None => Ok((sheet.end()?, None)),
    })
    .await?
}

/// What the values of a column are: as said, unless one of them is not.
pub(in crate::http) fn fitting<'a>(said: Kind, values: impl IntoIterator<Item = &'a Value>) -> Kind {
    let mut column = Column::new(String::new(), said);
    let fits = values.into_iter().all(|value| column.take(value.clone()).is_ok());
    if fits { said } else { Kind::Text }
}

/// Values of a column that wait for their row group.
enum Values {
    Text(Vec<ByteArray>),
    Integer(Vec<i64>),
    Number(Vec<f64>),
    Decimal(Vec<FixedLenByteArray>),
    Date(Vec<i32>),
    Bool(Vec<bool>),
}

struct Column {
    name: String,
    kind: Kind,
    values: Values,
    /// For each row, whether there is a value.
    there: Vec<i16>,
}

impl Column {
    fn new(name: String, kind: Kind) -> Column {
        let values = match kind {
            Kind::Text => Values::Text(Vec::new()),
            Kind::Integer | Kind::Time => Values::Integer(Vec::new()),
            Kind::Number => Values::Number(Vec::new()),
            Kind::Decimal => Values::Decimal(Vec::new()),
            Kind::Date => Values::Date(Vec::new()),
            Kind::Bool => Values::Bool(Vec::new()),
        };
        Column { name, kind, values, there: Vec::new() }
    }

    fn schema(&self) -> Result<Type, ParquetError> {
        let (physical, logical) = match self.kind {
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Integer => (Physical::INT64, None),
            Kind::Number => (Physical::DOUBLE, None),
            Kind::Decimal => {
                (Physical::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::decimal(SCALE.into(), PRECISION.into())))
            }
            Kind::Time => (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS))),
            Kind::Date => (Physical::INT32, Some(LogicalType::Date)),
            Kind::Bool => (Physical::BOOLEAN, None),
        };
        let mut column = Type::primitive_type_builder(&self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical);
        if self.kind == Kind::Decimal {
            column = column.with_length(16).with_precision(PRECISION.into()).with_scale(SCALE.into());
        }
        column.build()
    }

    /// Takes a value; how many bytes that is, about.
    fn take(&mut self, value: Value) -> Result<usize, Fault> {
        if value.is_null() {
            self.there.push(0);
            return Ok(2);
        }
        let taken = match &mut self.values {
            Values::Text(values) => {
                let text = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                let length = text.len();
                values.push(ByteArray::from(text.into_bytes()));
                self.there.push(1);
                return Ok(length + 48);
            }
            Values::Integer(values) if self.kind == Kind::Time => moment(&value).map(|value| values.push(value)),
            Values::Integer(values) => value.as_i64().map(|value| values.push(value)),
            Values::Number(values) => value.as_f64().map(|value| values.push(value)),
            Values::Decimal(values) => decimal(&value).map(|value| values.push(value)),
            Values::Date(values) => day(&value).map(|value| values.push(value)),
            Values::Bool(values) => value.as_bool().map(|value| values.push(value)),
        };
        taken.ok_or_else(|| Fault::Unfit(self.name.clone(), value))?;
        self.there.push(1);
        Ok(18)
    }

    fn write(&mut self, writer: &mut ColumnWriter<'_>) -> Result<(), Fault> {
        let there = std::mem::take(&mut self.there);
        let there = Some(there.as_slice());
        match (writer, &mut self.values) {
            (ColumnWriter::ByteArrayColumnWriter(writer), Values::Text(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            (ColumnWriter::Int64ColumnWriter(writer), Values::Integer(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            (ColumnWriter::DoubleColumnWriter(writer), Values::Number(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            (ColumnWriter::FixedLenByteArrayColumnWriter(writer), Values::Decimal(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            (ColumnWriter::Int32ColumnWriter(writer), Values::Date(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            (ColumnWriter::BoolColumnWriter(writer), Values::Bool(values)) => {
                writer.write_batch(&std::mem::take(values), there, None)
            }
            _ => Err(ParquetError::General(format!("the column {} is of another type", self.name))),
        }?;
        Ok(())
    }
}

/// Microseconds since 1970.
fn moment(value: &Value) -> Option<i64> {
    Some(value.as_str()?.parse::<jiff::Timestamp>().ok()?.as_microsecond())
}

/// Days since 1970.
fn day(value: &Value) -> Option<i32> {
    let day: jiff::civil::Date = value.as_str()?.parse().ok()?;
    let days = jiff::civil::Date::constant(1970, 1, 1).until(day).ok()?.get_days();
    Some(days)
}

fn decimal(value: &Value) -> Option<FixedLenByteArray> {
    let exact = match value {
        Value::String(text) => text.parse::<Decimal>().ok()?,
        Value::Number(number) => number.to_string().parse::<Decimal>().ok()?,
        _ => return None,
    };
    let exact = exact.normalize();
    let more = u32::from(SCALE).checked_sub(exact.scale())?;
    let scaled = exact.mantissa().checked_mul(10_i128.checked_pow(more)?)?;
    let fits = scaled.unsigned_abs() < 10_u128.pow(PRECISION.into());
    fits.then(|| FixedLenByteArray::from(scaled.to_be_bytes().to_vec()))
}

/// A file that is being written.
struct Sheet {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
    writer: SerializedFileWriter<Vec<u8>>,
}

impl Sheet {
    fn new(columns: Vec<(String, Kind)>) -> Result<Sheet, Fault> {
        let columns: Vec<Column> = columns.into_iter().map(|(name, kind)| Column::new(name, kind)).collect();
        let fields = columns.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<_, _>>()?;
        let schema = Type::group_type_builder("rows").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by("Deskfold".to_owned())
            .build();
        let writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        Ok(Sheet { columns, rows: 0, bytes: 0, writer })
    }

    /// Takes rows; what there is of the file by then.
    fn take(&mut self, rows: Vec<Vec<Value>>) -> Result<Vec<u8>, Fault> {
        for row in rows {
            for (column, value) in self.columns.iter_mut().zip(row) {
                self.bytes += column.take(value)?;
            }
            self.rows += 1;
            if self.rows >= ROWS || self.bytes >= BYTES {
                self.group()?;
            }
        }
        self.made()
    }

    /// The end of the file.
    fn end(mut self) -> Result<Vec<u8>, Fault> {
        self.group()?;
        Ok(self.writer.into_inner()?)
    }

    fn group(&mut self) -> Result<(), Fault> {
        if self.rows == 0 {
            return Ok(());
        }
        (self.bytes, self.rows) = (0, 0);
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            if let Some(mut writer) = group.next_column()? {
                column.write(writer.untyped())?;
                writer.close()?;
            }
        }
        group.close()?;
        Ok(())
    }

    fn made(&mut self) -> Result<Vec<u8>, Fault> {
        self.writer.flush().map_err(ParquetError::from)?;
        Ok(std::mem::take(self.writer.inner_mut()))
    }
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::FileReader;
    use serde_json::json;

    use super::*;

    /// However long the file is, what waits is at most a row group.
    #[test]
    fn row_groups_are_written_as_they_are_full() {
        let mut sheet = Sheet::new(vec![("text".into(), Kind::Text), ("n".into(), Kind::Integer)]).unwrap();
        let mut file = Vec::new();
        for page in 0..90 {
            let rows = (0..500).map(|row| vec![json!(format!("{page} {row}")), json!(row)]).collect();
            let made = sheet.take(rows).unwrap();
            assert_eq!(made.len() > 100, [39, 79].contains(&page), "{page}");
            file.extend(made);
        }
        file.extend(sheet.take(vec![vec![json!("x".repeat(BYTES)), json!(null)]]).unwrap());
        file.extend(sheet.end().unwrap());
        let read = parquet::file::reader::SerializedFileReader::new(Bytes::from(file)).unwrap();
        let groups = read.metadata().row_groups().iter().map(parquet::file::metadata::RowGroupMetaData::num_rows);
        assert_eq!(groups.collect::<Vec<_>>(), [20_000, 20_000, 5_001]);
        assert_eq!(read.metadata().file_metadata().num_rows(), 45_001);
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        let told = |value: Value| decimal(&value).map(|bytes| i128::from_be_bytes(bytes.data().try_into().unwrap()));
        assert_eq!(told(json!("-12.50")), Some(-125_000_000_000));
        assert_eq!(told(json!(7)), Some(70_000_000_000));
        assert_eq!(told(json!("0.0000000001000")), Some(1));
        assert_eq!(
            told(json!("9999999999999999999999999999")),
            Some(99_999_999_999_999_999_999_999_999_990_000_000_000)
        );
        for unfit in [json!("0.00000000001"), json!("much"), json!(null), json!([1])] {
            assert_eq!(told(unfit.clone()), None, "{unfit}");
        }
        assert_eq!(fitting(Kind::Integer, [&json!(1), &json!(null)]), Kind::Integer);
        assert_eq!(fitting(Kind::Integer, [&json!(1), &json!("x")]), Kind::Text);
        assert_eq!((day(&json!("1969-12-31")), moment(&json!("1970-01-01T00:00:01Z"))), (Some(-1), Some(1_000_000)));
    }
}
