//! Runs a stage on one batch as a task in a rayon pool.

use super::context::BackupContext;
use crate::pipeline::backup::BackupError;
use crate::work::meter::Meter;
use crossbeam_channel::Sender;
use std::sync::Arc;
use std::time::Instant;

/// Spawns `work` on `item` as one task and passes the item on when it is done. The channel has room for every permit,
/// so the task cannot block. A failed run passes items on untouched; an item lost to a panic fails the run.
pub fn spawn<T: Send + 'static>(
    pool: &rayon::ThreadPool,
    context: &Arc<BackupContext>,
    meter: fn(&BackupContext) -> &Meter,
    output: &Sender<T>,
    mut item: T,
    work: fn(&BackupContext, &mut T) -> Result<(), BackupError>,
) {
    let (context, output, queued) = (context.clone(), output.clone(), Instant::now());
    pool.spawn(move || {
        let meter = meter(&context);
        meter.waited_in(queued);
        context.failure.guard(|| meter.work(|| work(&context, &mut item)));
        // Disconnected: the run is failing and the receiver is gone.
        _ = output.try_send(item);
    });
}
