//! What a child of the gate does under a watching tool: one kernel, or fixed work on files.

use super::counters::{backup_options, create, restore_options};
use super::kernels::{Bench, Kernel, cpu_path};
use super::work::Work;
use crate::base::id::ObjectId;
use crate::harness::BenchError;
use crate::monitor::Silent;
use crate::ops::{backup, restore};
use crate::source::fs::{FsOptions, FsSource};
use crate::storage::{Area, Block, LocalStorage, MemoryStorage, Storage, StorageKey};
use crate::store::StoreError;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The kernel that does nothing: what everything around a kernel costs.
pub const NOTHING: &str = "nothing";
/// Works on files.
pub const FILE_WORKS: [&str; 3] = ["backup", "restore", "storage"];

/// How a child is started: the program, and the words before those of [`Child::words`].
#[derive(Debug, Clone)]
pub struct Child {
    pub program: PathBuf,
    /// Words that lead it to [`run`].
    pub words: Vec<OsString>,
    pub environment: Vec<(String, OsString)>,
    /// Where the name of the work goes: an environment variable of this name; `None`: a last word.
    pub by_environment: bool,
}

/// The environment variable of [`Child::by_environment`].
pub const TASK: &str = "LARDER_GATE_TASK";

impl Child {
    /// This program's own hidden way.
    pub fn of(program: &Path) -> Child {
        let words = ["--quiet", "bench", "gate", "--task"].map(OsString::from).into();
        Child { program: program.into(), words, environment: Vec::new(), by_environment: false }
    }

    /// The words that start it with a task, behind those of a watching tool.
    pub fn words(&self, task: &str) -> Vec<OsString> {
        let mut words = vec![self.program.clone().into_os_string()];
        words.extend(self.words.iter().cloned());
        if !self.by_environment {
            words.push(task.into());
        }
        words
    }

    /// What the task adds to an environment.
    pub fn variables(&self, task: &str) -> Vec<(String, OsString)> {
        let mut variables = self.environment.clone();
        if self.by_environment {
            variables.push((TASK.into(), task.into()));
        }
        variables
    }
}

/// Does a task: `kernel/NAME/ITERATIONS`, or `files/WORK/FOLDER/SCRATCH` with paths of hexadecimal bytes. The result is
/// what the child says on standard output: the CPU path in use.
pub fn run(task: &str) -> Result<&'static str, BenchError> {
    let bad = || BenchError::Invalid(format!("`{task}` is no task of the gate"));
    let parts: Vec<&str> = task.split('/').collect();
    match parts.as_slice() {
        ["kernel", name, iterations] => {
            let iterations: u32 = iterations.parse().map_err(|_| bad())?;
            let mut bench = Bench::new()?;
            let kernel = Kernel::named(name);
            if kernel.is_none() && *name != NOTHING {
                return Err(bad());
            }
            for kernel in kernel.iter().cycle().take(iterations as usize) {
                bench.run(*kernel);
            }
        }
        ["files", name, folder, scratch] => {
            let (folder, scratch) = (unhex(folder).ok_or_else(bad)?, unhex(scratch).ok_or_else(bad)?);
            match *name {
                "backup" => back_up(&folder, &scratch)?,
                "restore" => restore(&folder, &scratch)?,
                "storage" => store(&folder)?,
                _ => return Err(bad()),
            }
        }
        _ => return Err(bad()),
    }
    Ok(cpu_path())
}

/// The task of a work on files.
pub fn file_task(work: &str, folder: &Path, scratch: &Path) -> String {
    format!("files/{work}/{}/{}", hex(folder), hex(scratch))
}

fn hex(path: &Path) -> String {
    crate::base::id::hex(path.as_os_str().as_encoded_bytes())
}

fn unhex(text: &str) -> Option<PathBuf> {
    let digits = text.as_bytes().as_chunks::<2>().0.iter();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    use std::os::unix::ffi::OsStringExt;
    bytes.map(|bytes| OsString::from_vec(bytes).into())
}

/// Reads `folder` into a store in memory.
fn back_up(folder: &Path, scratch: &Path) -> Result<(), BenchError> {
    let store = Arc::new(create(Arc::new(MemoryStorage::new()), scratch)?);
    let options = FsOptions { roots: vec![folder.into()], ..FsOptions::default() };
    let source = FsSource::new(options).map_err(BenchError::io("back up", folder))?;
    let cancel = Arc::new(AtomicBool::new(false));
    let stats = backup::run(&store, &source, &backup_options(&cancel), Arc::new(Silent))?;
    match stats.problems.first() {
        None => Ok(()),
        Some(problem) => Err(BenchError::NotMeasured(problem.message.clone())),
    }
}

/// Restores into `folder` from a store in memory.
fn restore(folder: &Path, scratch: &Path) -> Result<(), BenchError> {
    let store = Arc::new(create(Arc::new(MemoryStorage::new()), scratch)?);
    let cancel = Arc::new(AtomicBool::new(false));
    backup::run(&store, &Work::new().source(), &backup_options(&cancel), Arc::new(Silent))?;
    restore::run(&store, &restore_options(folder, &cancel), &Silent)?;
    Ok(())
}

/// Every operation of local storage in `folder`, under names that are the same in every run.
fn store(folder: &Path) -> Result<(), BenchError> {
    let failed = |error| BenchError::from(StoreError::from(error));
    let storage = LocalStorage::create(folder).map_err(failed)?;
    let id = |n: u8| ObjectId([n; 32]);
    for n in 0..20 {
        storage.put_if_absent(&StorageKey::State(id(n)), &[n; 3000]).map_err(failed)?;
    }
    let mut block = Block::new(1 << 20);
    block.fill(&vec![0xa5; 1 << 20]);
    for n in 0..3 {
        let mut writer = storage.writer(Area::Packs).map_err(failed)?;
        for _ in 0..4 {
            writer.append(&mut block).map_err(failed)?;
        }
        writer.commit(&StorageKey::Pack(id(n))).map_err(failed)?;
    }
    let mut buffer = vec![0; 4096];
    for n in 0..30 {
        storage.get_range(&StorageKey::Pack(id(n % 3)), u64::from(n) * 4096, &mut buffer).map_err(failed)?;
        storage.get(&StorageKey::State(id(n % 20)), 1 << 20).map_err(failed)?;
        storage.head(&StorageKey::State(id(n % 20))).map_err(failed)?;
    }
    for area in Area::ALL {
        storage.list(area, &mut |_| {}).map_err(failed)?;
    }
    (0..20).try_for_each(|n| storage.delete(&StorageKey::State(id(n)))).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_do_their_work_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(unhex(&hex(&at("x y"))), Some(at("x y")));
        run("kernel/nothing/3").unwrap();
        run("kernel/open/1").unwrap();
        run(&file_task("restore", &at("restored"), &at("scratch"))).unwrap();
        assert!(at("restored/big/copy of noise").metadata().unwrap().len() > 7_000_000);
        run(&file_task("backup", &at("restored"), &at("scratch2"))).unwrap();
        run(&file_task("storage", &at("store"), &at("scratch3"))).unwrap();
        for bad in ["", "kernel/x/1", "kernel/open/x", "files/x/61/61", "files/backup/zz/61"] {
            assert!(matches!(run(bad), Err(BenchError::Invalid(_))), "{bad}");
        }
    }
}
