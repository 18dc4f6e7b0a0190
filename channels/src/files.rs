//! Files, kept beside the log by the digest of their bytes: in a folder, or in a store that speaks S3.
//!
//! Each tenant has its own: that another one keeps the same bytes shows nowhere. What comes in is first a part of its own, and
//! becomes a file under a name that says what is in it: whole and on the disk, or not there at all. Whatever a process leaves
//! behind that is killed has a name by which it is found and swept.

pub mod intake;
pub mod limits;
pub mod names;
pub mod pictures;
pub mod resumable;
pub mod sniff;
pub mod sweep;

use std::{
    ops::Range,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use domain::{Id, Time};
use futures::{Stream, StreamExt, TryStreamExt, stream, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, aws::AmazonS3Builder, buffered::BufWriter,
    local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

/// Bytes of what is too large that are read all the same.
const READ_ON: usize = 16 << 20;
/// Whole files.
const KEPT: &str = "kept";
/// What has come of files so far.
const PARTS: &str = "parts";
/// By how much of a file it is told what it is.
const HEAD: usize = 16 << 10;

/// Why a file cannot be taken in or read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is larger than may be.
    #[error("larger than the {0} bytes that are taken")]
    TooLarge(u64),
    /// It is not there.
    #[error("there is no such file")]
    Missing,
    /// There is no room for it.
    #[error("there is no room for files")]
    Full,
    /// The place where files are kept is not as it should be.
    #[error("the files' place: {0}")]
    Store(object_store::Error),
    /// What is said of that place makes no sense.
    #[error("{0}")]
    Unfit(String),
}

impl From<object_store::Error> for Fault {
    fn from(error: object_store::Error) -> Fault {
        if matches!(error, object_store::Error::NotFound { .. }) {
            return Fault::Missing;
        }
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(inner) = cause {
            let io = inner.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == std::io::ErrorKind::StorageFull) {
                return Fault::Full;
            }
            cause = inner.source();
        }
        Fault::Store(error)
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        match error.kind() {
            std::io::ErrorKind::StorageFull => Fault::Full,
            _ => Fault::Store(object_store::Error::Generic { store: "files", source: Box::new(error) }),
        }
    }
}

/// Where files are kept. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
}

/// Something of a file that is still coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Whose file.
    pub tenant: Id,
    /// Of which upload.
    pub upload: Id,
    /// What tells it from others.
    pub name: String,
}

impl Part {
    fn path(&self) -> Path {
        Path::from_iter([PARTS, &self.tenant.to_string(), &self.upload.to_string(), &self.name])
    }
}

/// What has come of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// How many bytes.
    pub bytes: u64,
    /// Whether whoever sent it came to the end.
    pub whole: bool,
}

/// What a file is, before it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// SHA-256, in hexadecimal digits.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// Its beginning.
    pub head: Vec<u8>,
    /// Whether all of it is text in UTF-8.
    pub is_text: bool,
}

/// A file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub tenant: Id,
    /// SHA-256 of its bytes, as its name says.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was put there.
    pub since: Time,
}

/// SHA-256 in hexadecimal digits.
pub fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kept_at(tenant: Id, digest: &str) -> Path {
    let (group, _) = digest.split_at_checked(2).unwrap_or((digest, ""));
    Path::from_iter([KEPT, &tenant.to_string(), group, digest])
}

impl Files {
    /// The place that an address such as `s3://bucket/prefix` names, with the usual `AWS_` settings; a folder where there is
    /// none.
    ///
    /// # Errors
    /// When there can be no such place.
    pub fn open(url: Option<&str>, folder: &FilePath) -> Result<Files, Fault> {
        let Some(url) = url else {
            std::fs::create_dir_all(folder).map_err(|error| Fault::Unfit(format!("{}: {error}", folder.display())))?;
            let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true).with_automatic_cleanup(false);
            return Ok(Files { store: Arc::new(store), folder: Some(folder.to_owned()) });
        };
        let unfit =
            || Fault::Unfit(format!("{url} is no place for files: write it like s3://bucket or s3://bucket/prefix"));
        let place = url.strip_prefix("s3://").ok_or_else(unfit)?;
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        if bucket.is_empty() {
            return Err(unfit());
        }
        let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build()?;
        let prefix = prefix.trim_matches('/');
        let store: Arc<dyn ObjectStore> = match prefix.is_empty() {
            true => Arc::new(store),
            false => Arc::new(PrefixStore::new(store, Path::parse(prefix).map_err(|_| unfit())?)),
        };
        Ok(Files { store, folder: None })
    }

    /// The folder, where it is one.
    pub fn folder(&self) -> Option<&FilePath> {
        self.folder.as_deref()
    }

    /// Takes in what comes, as a part of its own; what has come when it breaks off stays.
    ///
    /// # Errors
    /// When more comes than may, of which nothing stays, or the place fails.
    pub async fn receive<E>(
        &self,
        part: &Part,
        body: impl Stream<Item = Result<Bytes, E>> + Send,
        most: u64,
    ) -> Result<Received, Fault> {
        let mut writer = BufWriter::new(Arc::clone(&self.store), part.path());
        let mut body = std::pin::pin!(body);
        let mut received = Received { bytes: 0, whole: true };
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                received.whole = false;
                break;
            };
            received.bytes += piece.len() as u64;
            if received.bytes > most {
                writer.abort().await?;
                // Whoever is still sending reads no answer before he has sent: some of it is read and forgotten.
                let mut read = 0;
                while let (Some(Ok(piece)), true) = (body.next().await, read < READ_ON) {
                    read += piece.len();
                }
                return Err(Fault::TooLarge(most));
            }
            writer.put(piece).await?;
        }
        match received.bytes {
            0 => writer.abort().await?,
            _ => writer.shutdown().await?,
        }
        Ok(received)
    }

    /// The bytes of parts, one after the other.
    fn pieces(&self, parts: &[Part]) -> impl Stream<Item = Result<Bytes, Fault>> + Send + use<> {
        let store = Arc::clone(&self.store);
        stream::iter(parts.to_vec())
            .then(move |part| {
                let store = Arc::clone(&store);
                async move { Ok::<_, Fault>(store.get(&part.path()).await?.into_stream().map_err(Fault::from)) }
            })
            .try_flatten()
    }

    /// Reads all parts of a file and tells what it is.
    ///
    /// # Errors
    /// When one is gone, or the place fails.
    pub async fn examine(&self, parts: &[Part]) -> Result<Examined, Fault> {
        let (mut sha, mut size, mut head) = (Sha256::new(), 0, Vec::new());
        let mut text = sniff::TextCheck::default();
        let mut pieces = std::pin::pin!(self.pieces(parts));
        while let Some(piece) = pieces.try_next().await? {
            sha.update(&piece);
            size += piece.len() as u64;
            text.take(&piece);
            let more = HEAD.saturating_sub(head.len()).min(piece.len());
            head.extend_from_slice(&piece[..more]);
        }
        Ok(Examined { digest: hex(&sha.finalize()), size, head, is_text: text.done() })
    }

    /// The bytes of a file that is small enough to be held in memory.
    ///
    /// # Errors
    /// When it is not, a part is gone, or the place fails.
    pub async fn read_parts(&self, parts: &[Part], most: u64) -> Result<Vec<u8>, Fault> {
        let mut all = Vec::new();
        let mut pieces = std::pin::pin!(self.pieces(parts));
        while let Some(piece) = pieces.try_next().await? {
            if (all.len() + piece.len()) as u64 > most {
                return Err(Fault::TooLarge(most));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    /// Keeps these parts as the file that they are.
    ///
    /// # Errors
    /// When a part is gone, or the place fails.
    pub async fn keep_parts(&self, tenant: Id, examined: &Examined, parts: &[Part]) -> Result<(), Fault> {
        let path = kept_at(tenant, &examined.digest);
        if self.has(&path, examined.size).await? {
            return Ok(());
        }
        if let [only] = parts {
            return Ok(self.store.copy(&only.path(), &path).await?);
        }
        let mut writer = BufWriter::new(Arc::clone(&self.store), path);
        let mut pieces = std::pin::pin!(self.pieces(parts));
        while let Some(piece) = pieces.try_next().await? {
            writer.put(piece).await?;
        }
        Ok(writer.shutdown().await?)
    }

    /// Keeps these bytes; what their digest is.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn keep(&self, tenant: Id, bytes: Bytes) -> Result<String, Fault> {
        let digest = digest_of(&bytes);
        let path = kept_at(tenant, &digest);
        if !self.has(&path, bytes.len() as u64).await? {
            self.store.put(&path, bytes.into()).await?;
        }
        Ok(digest)
    }

    async fn has(&self, path: &Path, size: u64) -> Result<bool, Fault> {
        match self.store.head(path).await {
            Ok(found) => Ok(found.size == size),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The bytes of a file, or of a stretch of it.
    ///
    /// # Errors
    /// When it is not there, or the place fails.
    pub async fn read(
        &self,
        tenant: Id,
        digest: &str,
        range: Option<Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes, Fault>>, Fault> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.store.get_opts(&kept_at(tenant, digest), options).await?;
        Ok(found.into_stream().map_err(Fault::from).boxed())
    }

    /// Whether what is kept under this digest is what it says.
    ///
    /// # Errors
    /// When it is not there, or the place fails.
    pub async fn is_sound(&self, tenant: Id, digest: &str) -> Result<bool, Fault> {
        let mut sha = Sha256::new();
        let mut pieces = self.read(tenant, digest, None).await?;
        while let Some(piece) = pieces.try_next().await? {
            sha.update(&piece);
        }
        Ok(hex(&sha.finalize()) == digest)
    }

    /// Deletes a file; one that is not there is.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn delete(&self, tenant: Id, digest: &str) -> Result<(), Fault> {
        self.gone(&kept_at(tenant, digest)).await
    }

    /// Deletes parts.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn delete_parts(&self, parts: &[Part]) -> Result<(), Fault> {
        for part in parts {
            self.gone(&part.path()).await?;
        }
        Ok(())
    }

    async fn gone(&self, path: &Path) -> Result<(), Fault> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Every file that is there, of whatever tenant; what has another name than files have is passed over.
    pub fn all(&self) -> BoxStream<'static, Result<Found, Fault>> {
        let found = self.store.list(Some(&Path::from(KEPT))).map_err(Fault::from);
        found
            .try_filter_map(|found| async move {
                let names: Vec<String> = found.location.parts().map(|part| part.as_ref().to_owned()).collect();
                let [_, tenant, _, digest] = names.as_slice() else { return Ok(None) };
                let Ok(tenant) = tenant.parse() else { return Ok(None) };
                let since = Time::from_second(found.last_modified.timestamp()).unwrap_or_default();
                Ok(Some(Found { tenant, digest: digest.clone(), size: found.size, since }))
            })
            .boxed()
    }

    /// Every part that has been there since before a moment.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn parts_from_before(&self, moment: Time) -> Result<Vec<Part>, Fault> {
        let mut listed = self.store.list(Some(&Path::from(PARTS)));
        let mut parts = Vec::new();
        while let Some(found) = listed.try_next().await? {
            let names: Vec<String> = found.location.parts().map(|part| part.as_ref().to_owned()).collect();
            let [_, tenant, upload, name] = names.as_slice() else { continue };
            let old = Time::from_second(found.last_modified.timestamp()).is_ok_and(|since| since < moment);
            if let (Ok(tenant), Ok(upload), true) = (tenant.parse(), upload.parse(), old) {
                parts.push(Part { tenant, upload, name: name.clone() });
            }
        }
        Ok(parts)
    }

    /// Deletes what was being written in the folder when a process was killed, if that is longer ago than this; how many files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sweep_unfinished(&self, age: Duration) -> std::io::Result<usize> {
        let Some(folder) = &self.folder else { return Ok(0) };
        let (mut swept, mut folders) = (0, vec![folder.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let about = entry.metadata()?;
                if about.is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                // The library writes to the name with a number behind it, and renames that.
                let name = entry.file_name();
                let number = name.to_str().and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
                let unfinished = number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()));
                let old =
                    about.modified().is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|old| old >= age));
                if unfinished && old {
                    std::fs::remove_file(entry.path())?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }
}

/// A file whose digest is known before its bytes have come.
pub struct Incoming {
    files: Files,
    part: Part,
    digest: String,
    writer: BufWriter,
    sha: Sha256,
    bytes: u64,
}

impl Files {
    /// A file of this digest that comes piece by piece.
    pub fn incoming(&self, tenant: Id, digest: &str) -> Incoming {
        let part = Part { tenant, upload: Id::NIL, name: digest.to_owned() };
        let writer = BufWriter::new(Arc::clone(&self.store), part.path());
        Incoming { files: self.clone(), part, digest: digest.to_owned(), writer, sha: Sha256::new(), bytes: 0 }
    }
}

impl Incoming {
    /// Whether bytes of this file from there on are what comes next.
    pub fn follows(&self, digest: &str, at: u64) -> bool {
        self.digest == digest && self.bytes == at
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn push(&mut self, piece: Bytes) -> Result<(), Fault> {
        self.sha.update(&piece);
        self.bytes += piece.len() as u64;
        Ok(self.writer.put(piece).await?)
    }

    /// Keeps it, if it has the digest that was said; whether it has.
    ///
    /// # Errors
    /// When the place fails.
    pub async fn keep(mut self) -> Result<bool, Fault> {
        self.writer.shutdown().await?;
        let is_sound = hex(&self.sha.finalize()) == self.digest;
        if is_sound {
            self.files.store.copy(&self.part.path(), &kept_at(self.part.tenant, &self.digest)).await?;
        }
        self.files.delete_parts(&[self.part]).await?;
        Ok(is_sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACME: Id = Id::from_bits(1);
    const OTHER: Id = Id::from_bits(2);

    fn pieces(texts: &[&'static str]) -> impl Stream<Item = Result<Bytes, ()>> + use<> {
        stream::iter(texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect::<Vec<_>>())
    }

    fn part(name: &str) -> Part {
        Part { tenant: ACME, upload: Id::from_bits(7), name: name.to_owned() }
    }

    async fn text(files: &Files, tenant: Id, digest: &str, range: Option<Range<u64>>) -> String {
        let read: Vec<Bytes> = files.read(tenant, digest, range).await.unwrap().try_collect().await.unwrap();
        String::from_utf8(read.concat()).unwrap()
    }

    #[tokio::test]
    async fn parts_become_one_file_of_one_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(None, folder.path()).unwrap();
        let (first, second) = (part("0"), part("6"));
        let received = files.receive(&first, pieces(&["good ", "d"]), 100).await.unwrap();
        assert_eq!(received, Received { bytes: 6, whole: true });
        let broken = pieces(&["ay"]).chain(stream::iter([Err(())]));
        assert_eq!(files.receive(&second, broken, 100).await.unwrap(), Received { bytes: 2, whole: false });
        let parts = [first, second];
        let examined = files.examine(&parts).await.unwrap();
        assert_eq!((examined.digest.as_str(), examined.size), (digest_of(b"good day").as_str(), 8));
        assert!(examined.is_text && examined.head == b"good day");
        files.keep_parts(ACME, &examined, &parts).await.unwrap();
        files.keep_parts(ACME, &examined, &parts).await.unwrap();
        assert_eq!(text(&files, ACME, &examined.digest, None).await, "good day");
        assert_eq!(text(&files, ACME, &examined.digest, Some(5..8)).await, "day");
        assert!(matches!(files.read(OTHER, &examined.digest, None).await, Err(Fault::Missing)));
        assert!(files.is_sound(ACME, &examined.digest).await.unwrap());
        let all: Vec<Found> = files.all().try_collect().await.unwrap();
        assert_eq!(all.iter().map(|found| (found.tenant, found.size)).collect::<Vec<_>>(), [(ACME, 8)]);
        let late = Time::now() + jiff::SignedDuration::from_hours(1);
        assert_eq!(files.parts_from_before(late).await.unwrap().len(), 2);
        files.delete_parts(&parts).await.unwrap();
        assert!(files.parts_from_before(late).await.unwrap().is_empty());
        files.delete(ACME, &examined.digest).await.unwrap();
        files.delete(ACME, &examined.digest).await.unwrap();
        assert!(files.all().next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_too_large_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(None, folder.path()).unwrap();
        let outcome = files.receive(&part("0"), pieces(&["good ", "day"]), 7).await;
        assert!(matches!(outcome, Err(Fault::TooLarge(7))));
        let nothing = files.receive(&part("0"), pieces(&[]), 7).await.unwrap();
        assert_eq!(nothing, Received { bytes: 0, whole: true });
        assert!(files.parts_from_before(Time::now() + jiff::SignedDuration::from_hours(1)).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_a_killed_process_was_writing_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(None, folder.path()).unwrap();
        let digest = files.keep(ACME, Bytes::from_static(b"kept")).await.unwrap();
        let place = folder.path().join(kept_at(ACME, &digest).to_string());
        std::fs::write(format!("{}#1", place.display()), b"ke").unwrap();
        assert_eq!(files.sweep_unfinished(Duration::from_secs(60)).unwrap(), 0);
        assert_eq!(files.sweep_unfinished(Duration::ZERO).unwrap(), 1);
        assert!(files.is_sound(ACME, &digest).await.unwrap());
        // What was cut off by a failing disk is written anew.
        std::fs::write(&place, b"k").unwrap();
        assert!(!files.is_sound(ACME, &digest).await.unwrap());
        files.keep(ACME, Bytes::from_static(b"kept")).await.unwrap();
        assert!(files.is_sound(ACME, &digest).await.unwrap());
    }

    #[test]
    fn a_place_is_a_folder_or_a_bucket() {
        for unfit in ["ftp://files", "s3://", "s3:///prefix", "bucket"] {
            assert!(matches!(Files::open(Some(unfit), FilePath::new(".")), Err(Fault::Unfit(_))), "{unfit}");
        }
    }
}
