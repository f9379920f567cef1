//! Reads the file of a batch line by line, before any line runs.

use super::shared::Shared;
use crate::batches::{Batch, Error, Flaw, Lines, NewLine, Piece, read_line};
use crate::types::now;

/// The most mistakes that are told.
const MOST_FLAWS: usize = 100;

/// How many lines are written in one transaction.
const AT_ONCE: usize = 500;

/// How many pieces of the file are read before it is looked whether the batch was cancelled meanwhile.
const LOOK: u64 = 64;

struct Reading<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    flaws: Vec<Flaw>,
    waiting: Vec<NewLine>,
    /// Lines seen, empty ones too.
    line: u64,
    /// Lines that ask something.
    total: u64,
}

/// Checks every line; the batch then runs or has failed.
pub(super) async fn validate(shared: &Shared, batch: &Batch) -> Result<(), Error> {
    let batches = shared.batches();
    // What an earlier try left.
    batches.forget_lines(&batch.id).await?;
    let mut reading = Reading { shared, batch, flaws: Vec::new(), waiting: Vec::new(), line: 0, total: 0 };
    if !reading.read().await? {
        return Ok(());
    }
    let Reading { flaws, total, .. } = reading;
    if flaws.is_empty() {
        batches.begin(&batch.id, total, now()).await
    } else {
        batches.fail(&batch.id, &flaws, now()).await
    }
}

impl Reading<'_> {
    /// Reads the whole file; tells whether the batch may go on.
    async fn read(&mut self) -> Result<bool, Error> {
        let mut lines = Lines::new(self.shared.work.longest_line);
        let mut changes = self.shared.batches().changes();
        for n in 0.. {
            if self.shared.stop.is_cancelled() {
                return Ok(false);
            }
            if n % LOOK == 0 && changes.has_changed().unwrap_or(false) {
                changes.borrow_and_update();
                let now = self.shared.batches().batch(crate::batches::Scope::All, &self.batch.id).await?;
                if now.status != self.batch.status {
                    return Ok(false);
                }
            }
            let Some(chunk) = self.shared.batches().chunk(&self.batch.input_file_id, n).await? else { break };
            lines.push(&chunk);
            loop {
                match lines.line() {
                    Ok(Some(piece)) => self.take(&piece).await?,
                    Ok(None) => break,
                    Err(_) => return Ok(self.too_long()),
                }
                if self.is_enough() {
                    return Ok(true);
                }
            }
            // A large file leaves room for others.
            tokio::task::yield_now().await;
        }
        match lines.rest() {
            Ok(Some(piece)) => self.take(&piece).await?,
            Ok(None) => {}
            Err(_) => return Ok(self.too_long()),
        }
        self.write().await?;
        if self.total == 0 && self.flaws.is_empty() {
            self.flaws.push(Flaw::new("empty_file", "The input file is empty: it needs one line or more."));
        }
        Ok(true)
    }

    fn is_enough(&self) -> bool {
        self.flaws.len() >= MOST_FLAWS || self.flaws.last().is_some_and(|flaw| flaw.code == "too_many_lines")
    }

    fn too_long(&mut self) -> bool {
        let longest = self.shared.work.longest_line;
        let message = format!("This line has more than {longest} bytes, the largest request that is taken.");
        self.flaws.push(Flaw { line: Some(self.line + 1), ..Flaw::new("line_too_long", message) });
        true
    }

    async fn take(&mut self, piece: &Piece) -> Result<(), Error> {
        self.line += 1;
        let text = if self.line == 1 { without_mark(piece) } else { piece.clone() };
        if text.text.trim_ascii().is_empty() {
            return Ok(());
        }
        self.total += 1;
        let most = self.shared.batches().settings().max_lines;
        if self.total > most {
            let message = format!("The input file has more than {most} lines, the most of a batch.");
            self.flaws.push(Flaw { line: Some(self.line), ..Flaw::new("too_many_lines", message) });
            return Ok(());
        }
        match read_line(&text.text, &self.batch.endpoint) {
            Ok(line) => {
                let length = text.text.len() as u64;
                self.waiting.push(NewLine { n: self.line, custom_id: line.custom_id, start: text.start, length });
                if self.waiting.len() >= AT_ONCE { self.write().await } else { Ok(()) }
            }
            Err(flaw) => {
                self.flaws.push(Flaw { line: Some(self.line), ..flaw });
                Ok(())
            }
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.waiting);
        for n in self.shared.batches().add_lines(&self.batch.id, &lines).await? {
            let custom_id = lines.iter().find(|line| line.n == n).map_or("", |line| &line.custom_id);
            let shown: String = custom_id.chars().take(80).collect();
            let message = format!("The custom_id `{shown}` stands in an earlier line already; each must be unique.");
            let flaw = Flaw::new("duplicate_custom_id", message).at("custom_id");
            self.flaws.push(Flaw { line: Some(n), ..flaw });
        }
        self.flaws.sort_by_key(|flaw| flaw.line);
        self.flaws.truncate(MOST_FLAWS);
        Ok(())
    }
}

/// A line without the mark that some editors put before a file.
fn without_mark(piece: &Piece) -> Piece {
    match piece.text.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => Piece { start: piece.start + 3, text: piece.text.slice_ref(rest) },
        None => piece.clone(),
    }
}
