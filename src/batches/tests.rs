//! Files and batches on a real database.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::chat::Usage;
use crate::db::scratch::{Scratch, on_each};
use crate::types::Timestamp;
use crate::wire::endpoint::Endpoint;

fn opened(scratch: &Scratch) -> Batches {
    let settings = Settings { max_size: 1 << 20, max_total: 3 << 20, ..Settings::default() };
    Batches::new(scratch.db.clone(), settings)
}

const NOW: Timestamp = Timestamp(1_000_000_000);
const MINE: Scope<'_> = Scope::Project("mine");

async fn file(batches: &Batches, text: &[u8]) -> File {
    let mut upload = batches.upload("mine", "key", "in.jsonl", NOW).await.unwrap();
    upload.push(text).await.unwrap();
    upload.finish(None).await.unwrap()
}

fn new_batch(input_file_id: &str) -> NewBatch {
    NewBatch {
        project: "mine".into(),
        key_id: "key".into(),
        input_file_id: input_file_id.to_owned(),
        endpoint: Endpoint::default().name().to_owned(),
        completion_window: "24h".to_owned(),
        metadata: None,
        output_expires_after: None,
    }
}

fn line(n: u64, custom_id: &str) -> NewLine {
    NewLine { n, custom_id: custom_id.to_owned(), start: n * 10, length: 9 }
}

fn stored(n: u64, good: bool) -> Stored {
    let usage = Usage { input: 3, output: 2, ..Usage::default() };
    Stored { n, good, content: Bytes::from(format!("{n}\n")), usage }
}

#[tokio::test]
async fn any_part_of_a_file_is_read_as_it_was_written() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let text: Vec<u8> = (0..CHUNK * 3 + 7).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut upload = batches.upload("mine", "key", "in.jsonl", NOW).await.unwrap();
        for piece in text.chunks(100_003) {
            upload.push(piece).await.unwrap();
        }
        let file = upload.finish(None).await.unwrap();
        assert_eq!(file.bytes, text.len() as u64);
        for (start, length) in
            [(0, 1), (0, text.len()), (CHUNK - 1, 2), (CHUNK, CHUNK), (CHUNK * 2 + 5, CHUNK + 2), (7, 0)]
        {
            let read = batches.range(&file.id, start as u64, length).await.unwrap();
            assert_eq!(&*read, &text[start..start + length], "{start} {length}");
        }
        assert_eq!(batches.range(&file.id, text.len() as u64 - 1, 9).await.unwrap().len(), 1);
        assert_eq!(batches.chunk(&file.id, 4).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_file_is_seen_by_its_project_and_only_while_it_lasts() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let file = file(&batches, b"x").await;
        let late = NOW.plus(batches.settings().retention);
        assert!(batches.file(MINE, &file.id, NOW).await.is_ok());
        assert!(batches.file(Scope::All, &file.id, NOW).await.is_ok());
        assert!(matches!(batches.file(Scope::Project("theirs"), &file.id, NOW).await, Err(Error::NoSuchFile(_))));
        assert!(matches!(batches.file(MINE, &file.id, late).await, Err(Error::NoSuchFile(_))));
        let half = batches.upload("mine", "key", "half", NOW).await.unwrap();
        assert_eq!(batches.purge_files(NOW).await.unwrap(), 0, "what is being written is no rubbish");
        drop(half);
        assert_eq!(batches.purge_files(NOW).await.unwrap(), 1);
        assert_eq!(batches.purge_files(late).await.unwrap(), 1);
        assert_eq!(batches.chunk(&file.id, 0).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_file_and_a_project_hold_no_more_than_they_may() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let mut upload = batches.upload("mine", "key", "big", NOW).await.unwrap();
        let mebibyte = vec![b'x'; 1 << 20];
        upload.push(&mebibyte).await.unwrap();
        assert!(matches!(upload.push(b"x").await, Err(Error::TooLarge(_))));
        upload.discard().await;
        for _ in 0..3 {
            file(&batches, &mebibyte).await;
        }
        assert!(matches!(batches.upload("mine", "key", "more", NOW).await, Err(Error::Full(_))));
        assert!(batches.upload("theirs", "key", "more", NOW).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn lists_come_in_parts() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let mut ids = Vec::new();
        for _ in 0..5 {
            ids.push(file(&batches, b"x").await.id);
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let part = Part { after: after.as_deref(), limit: 2, ascending: true };
            let (files, more) = batches.files(MINE, Some("batch"), part, NOW).await.unwrap();
            seen.extend(files.iter().map(|file| file.id.clone()));
            after = files.last().map(|file| file.id.to_string());
            if !more {
                break;
            }
        }
        assert_eq!(seen, ids);
        let all = Part { after: None, limit: 9, ascending: false };
        assert_eq!(batches.files(MINE, None, all, NOW).await.unwrap().0[0].id, ids[4]);
        assert!(batches.files(MINE, Some("batch_output"), all, NOW).await.unwrap().0.is_empty());
        assert!(batches.files(Scope::Project("theirs"), None, all, NOW).await.unwrap().0.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_batch_asks_for_what_there_is() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let file = file(&batches, b"x").await;
        let good = new_batch(&file.id);
        for (field, new) in [
            ("endpoint", NewBatch { endpoint: "/v1/models".into(), ..good.clone() }),
            ("completion_window", NewBatch { completion_window: "1h".into(), ..good.clone() }),
            ("metadata", NewBatch { metadata: json!({"a": 1}).as_object().cloned(), ..good.clone() }),
            ("metadata", NewBatch { metadata: json!({"a": "x".repeat(513)}).as_object().cloned(), ..good.clone() }),
            ("output_expires_after", NewBatch { output_expires_after: Some(1), ..good.clone() }),
        ] {
            let error = batches.create(MINE, new, NOW).await.unwrap_err();
            assert!(matches!(&error, Error::Invalid { field: found, .. } if *found == field), "{field}: {error}");
        }
        assert!(matches!(batches.create(MINE, new_batch("file-none"), NOW).await, Err(Error::NoSuchInput(_))));
        let batch = batches.create(MINE, good, NOW).await.unwrap();
        assert!(matches!(batches.delete_file(MINE, &file.id, NOW).await, Err(Error::InUse { .. })));
        assert!(matches!(batches.batch(Scope::Project("theirs"), &batch.id).await, Err(Error::NoSuchBatch(_))));
    })
    .await;
}

#[tokio::test]
async fn a_line_counts_once_however_often_its_result_comes() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let batch = batches.create(MINE, new_batch(&file(&batches, b"x").await.id), NOW).await.unwrap();
        let lines = [line(1, "a"), line(2, "b"), line(3, "a"), line(4, "c")];
        assert_eq!(batches.add_lines(&batch.id, &lines).await.unwrap(), [3]);
        batches.begin(&batch.id, 3, NOW).await.unwrap();
        for (n, good) in [(2, true), (2, false), (4, false)] {
            batches.store_result(&batch.id, &stored(n, good)).await.unwrap();
        }
        let now = batches.batch(MINE, &batch.id).await.unwrap();
        assert_eq!((now.counts, now.status), (Counts { total: 3, completed: 1, failed: 1 }, Status::InProgress));
        assert_eq!((now.usage.input, now.usage.output), (6, 4));
        let left = batches.pending(&batch.id, 0, 9).await.unwrap();
        assert_eq!(left.iter().map(|line| line.n).collect::<Vec<_>>(), [1]);
        assert_eq!(batches.results(&batch.id, true, 0).await.unwrap(), Some((2, Bytes::from_static(b"2\n"))));
        assert_eq!(batches.results(&batch.id, true, 2).await.unwrap(), None);
        assert_eq!(batches.results(&batch.id, false, 0).await.unwrap().unwrap().0, 4);
        batches.finalize(&batch.id, Status::Expired, &[], NOW).await.unwrap();
        let mut output = batches.output(&now, "output", NOW).await.unwrap();
        output.push(b"2\n").await.unwrap();
        let output = output.close().await.unwrap();
        assert!(batches.file(MINE, &output.id, NOW).await.is_err(), "it is seen with its batch's end");
        batches.end(&now, Status::Expired, [Some(output), None], NOW).await.unwrap();
        let ended = batches.batch(MINE, &batch.id).await.unwrap();
        assert_eq!((ended.status, ended.counts.failed, ended.times.expired), (Status::Expired, 2, Some(NOW)));
        let file = batches.file(MINE, ended.output_file_id.as_deref().unwrap(), NOW).await.unwrap();
        assert_eq!(
            (file.bytes, file.purpose, file.filename),
            (2, Purpose::BatchOutput, format!("{}_output.jsonl", batch.id))
        );
        assert!(batches.pending(&batch.id, 0, 9).await.unwrap().is_empty());
        assert!(matches!(batches.cancel(MINE, &batch.id, NOW).await, Err(Error::Ended { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_cancelled_is_told_so_once() {
    on_each(async |scratch| {
        let batches = opened(&scratch);
        let batch = batches.create(MINE, new_batch(&file(&batches, b"x").await.id), NOW).await.unwrap();
        assert!(batches.cancel(Scope::Project("theirs"), &batch.id, NOW).await.is_err());
        let first = batches.cancel(MINE, &batch.id, NOW).await.unwrap();
        let again = batches.cancel(MINE, &batch.id, NOW.plus(Duration::from_secs(9))).await.unwrap();
        assert_eq!((first.status, first.times.cancelling), (Status::Cancelling, Some(NOW)));
        assert_eq!(again, first);
        // A change that began before the deletion does not restore the file.
        batches.begin(&batch.id, 1, NOW).await.unwrap();
        batches.finalize(&batch.id, Status::Completed, &[], NOW).await.unwrap();
        assert_eq!(batches.batch(MINE, &batch.id).await.unwrap().status, Status::Cancelling);
    })
    .await;
}
