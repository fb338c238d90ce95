//! Every fault harness, small; and every one without the guard that it tests, where it must find a loss.
//!
//! They drive `mkfs`, `mount` and `cc`, and some need root; what cannot run here says so. One at a time: they measure
//! a machine, not each other.

use anyhow::{Result, ensure};
use journeys::{
    fault::{Common, Corrupt, Fs, FullDisk, Harness, IoSweep, Kill, PowerCut, Rebuild, Report, missing},
    tools::{Tool, find},
};
use tokio::sync::Mutex;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

fn common(rounds: u64) -> Common {
    Common { rounds: Some(rounds), seed: 1, mutate: false }
}

fn mutated(rounds: u64) -> Common {
    Common { mutate: true, ..common(rounds) }
}

async fn clean(harness: Harness) -> Result<Report> {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut report = harness.run().await?;
    ensure!(report.clean(), "{}", report.json()?);
    Ok(report)
}

async fn finds_a_loss(harness: Harness) -> Result<()> {
    let _one = ONE_AT_A_TIME.lock().await;
    let mut report = harness.run().await?;
    ensure!(!report.clean(), "without its guard nothing was lost, so it proves nothing: {}", report.json()?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a test that does not run must say so")]
fn can_cut(fs: Fs) -> bool {
    if fs == Fs::Xfs && find(Tool::MkfsXfs).is_none() {
        return false;
    }
    let missing = missing(fs);
    if let Some(why) = missing {
        eprintln!("NOT RUN: a power cut on {fs:?}: {why}");
    }
    missing.is_none()
}

#[expect(clippy::print_stderr, reason = "a test that does not run must say so")]
fn can_compile() -> bool {
    let can = journeys::fault::compiler();
    if !can {
        eprintln!("NOT RUN: faults of storage calls: there is no cc");
    }
    can
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_nothing() -> Result<()> {
    let report = clean(Harness::Kill(Kill { common: common(6), units: 10_000, rotate: false })).await?;
    ensure!(report.figure("acks") > 20, "hardly anything was issued");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_finds_out_who_answers_before_writing() -> Result<()> {
    if !can_compile() {
        return Ok(());
    }
    finds_a_loss(Harness::Kill(Kill { common: mutated(2), units: 10_000, rotate: false })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_on_ext4_loses_nothing() -> Result<()> {
    if !can_cut(Fs::Ext4) {
        return Ok(());
    }
    let report =
        clean(Harness::PowerCut(PowerCut { common: common(8), fs: Fs::Ext4, units: 10_000, rotate: false }))
            .await?;
    ensure!(report.figure("acks") > 20, "hardly anything was issued");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_on_xfs_loses_nothing() -> Result<()> {
    if !can_cut(Fs::Xfs) {
        return Ok(());
    }
    clean(Harness::PowerCut(PowerCut { common: common(4), fs: Fs::Xfs, units: 10_000, rotate: false }))
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_finds_out_who_does_not_sync() -> Result<()> {
    if !can_cut(Fs::Ext4) {
        return Ok(());
    }
    finds_a_loss(Harness::PowerCut(PowerCut {
        common: mutated(2),
        fs: Fs::Ext4,
        units: 10_000,
        rotate: false,
    }))
    .await
}

fn sweep(common: Common, stride: usize, only: &str) -> Harness {
    // Room for a segment is made only where one ends.
    let rotate = only.starts_with("allocate");
    Harness::IoSweep(IoSweep { common, stride, rotate, only: Some(only.to_owned()) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_storage_call_loses_nothing() -> Result<()> {
    if !can_compile() {
        return Ok(());
    }
    for (only, stride) in
        [("sync-eio-once", 7), ("write-enospc-on", 11), ("name-eio-once", 2), ("allocate-enospc-on", 1)]
    {
        clean(sweep(common(5), stride, only)).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_storage_call_finds_out_who_does_not_look() -> Result<()> {
    if !can_compile() {
        return Ok(());
    }
    finds_a_loss(sweep(mutated(5), 3, "sync-ignored-once")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_noticed_or_do_no_harm() -> Result<()> {
    let report = clean(Harness::Corrupt(Corrupt { common: common(300), units: 90 })).await?;
    ensure!(
        report.figure("refused") > 50 && report.figure("index_rebuilt") > 10,
        "hardly anything was damaged"
    );
    finds_a_loss(Harness::Corrupt(Corrupt { common: mutated(2), units: 90 })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_comes_back_as_it_was() -> Result<()> {
    clean(Harness::Rebuild(Rebuild { common: common(10) })).await?;
    finds_a_loss(Harness::Rebuild(Rebuild { common: mutated(2) })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_a_refusal_and_no_failure() -> Result<()> {
    if !can_cut(Fs::Ext4) {
        return Ok(());
    }
    let report = clean(Harness::FullDisk(FullDisk { common: common(1), at_once: false })).await?;
    ensure!(report.figure("refused_507") >= 3, "it was hardly asked");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_finds_out_who_has_no_floor() -> Result<()> {
    if !can_cut(Fs::Ext4) {
        return Ok(());
    }
    finds_a_loss(Harness::FullDisk(FullDisk { common: mutated(1), at_once: false })).await
}
