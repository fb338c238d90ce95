//! A file system in a file, whose power can be cut.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::fault::shim;

/// Which kind of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fs {
    /// ext4, with its default options.
    Ext4,
    /// XFS, with its default options.
    Xfs,
}

impl Fs {
    fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F", "-m0"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        }
    }
}

/// Says what is missing here to mount such a file system and to cut its power, if anything is.
#[must_use]
pub fn missing(fs: Fs) -> Option<&'static str> {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Some("it needs root, to mount");
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("it needs loop devices");
    }
    if !shim::compiler() {
        return Some("it needs cc");
    }
    let (maker, _) = fs.maker();
    let there = Command::new(maker).arg("-V").output().is_ok();
    (!there).then_some("it needs mkfs.ext4 or mkfs.xfs; `cargo xtask test` installs the latter")
}

/// A mounted file system; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    image: PathBuf,
    point: PathBuf,
    cutter: PathBuf,
}

impl Mount {
    /// Makes one of `mebibytes` in `dir` and mounts it there.
    pub(crate) fn make(dir: &Path, fs: Fs, mebibytes: u64) -> Result<Self> {
        let (image, point) = (dir.join("disk.img"), dir.join("mnt"));
        fs::File::create(&image)?.set_len(mebibytes << 20)?;
        let (maker, options) = fs.maker();
        run(Command::new(maker).args(options).arg(&image))?;
        fs::create_dir_all(&point)?;
        let mount = Self { image, point, cutter: shim::cutter(dir)? };
        mount.mount()?;
        Ok(mount)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// Bytes that can still be written.
    pub(crate) fn free(&self) -> Result<u64> {
        let fs = rustix::fs::statvfs(&self.point)?;
        Ok(fs.f_bavail * fs.f_frsize)
    }

    /// Everything that was written is on the disk for good.
    pub(crate) fn force_out(&self) -> Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(&self.point)?)?)
    }

    /// Cuts the power: when this returns, nothing reaches the disk any more.
    pub(crate) fn cut(&self) -> Result<()> {
        run(Command::new(&self.cutter).arg(&self.point))
    }

    /// Makes it read-only from below, as the kernel does after an error; open files do not stop it. ext4 only.
    pub(crate) fn abort(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.point))
    }

    /// Mounts it anew, as after a power cut. Nobody may have a file open there.
    pub(crate) fn remount(&self) -> Result<()> {
        run(Command::new("umount").arg(&self.point))?;
        self.mount()
    }

    fn mount(&self) -> Result<()> {
        run(Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.point]))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, in case that somebody still looks at it; one that is not mounted any more is fine.
        let _ = Command::new("umount").arg("-l").arg(&self.point).output();
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(())
}
