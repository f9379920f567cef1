//! The registry of experiments on both databases.

use serde_json::json;

use super::*;
use crate::db::scratch::on_each;
use crate::types::{Share, Timestamp};

fn spec(name: &str, label: &str) -> Spec {
    let arms = json!([{"name": "a", "version": 1}, {"name": "b", "version": 2, "settings": {"temperature": 0}}]);
    let metric = json!({"name": "resolved"});
    Spec::from_json(&json!({"name": name, "prompt": "p", "label": label, "arms": arms, "metric": metric, "share": 0.5}))
        .unwrap()
}

fn by(at: i64) -> (Author, Timestamp) {
    (Author { key_id: "k".to_owned(), name: "ann".to_owned(), admin: false }, Timestamp(at))
}

fn share(number: f64) -> Option<Share> {
    Share::of(number)
}

fn count(experiments: &Experiments, label: &str) -> usize {
    let prompt = "p".parse().unwrap();
    let units: Vec<String> = (0..200).map(|n| n.to_string()).collect();
    let caller = |unit| Caller { user: Some(unit), ..Caller::default() };
    units.iter().filter(|unit| experiments.assign(&prompt, label, &caller(unit)).is_some()).count()
}

#[tokio::test]
async fn an_experiment_assigns_from_its_start_to_its_end_in_every_process() {
    on_each(async |scratch| {
        let (here, there) = (
            Experiments::open(scratch.db.clone()).await.unwrap(),
            Experiments::open(scratch.another().await).await.unwrap(),
        );
        let spec = spec("e", "production");
        let made = here.create(spec.clone(), "salt".to_owned(), by(10)).await.unwrap();
        assert_eq!((made.state, made.created_at, made.spec.clone()), (State::Draft, Timestamp(10), spec.clone()));
        assert!(matches!(here.create(spec, "salt".to_owned(), by(11)).await, Err(Error::Exists(_))));
        assert_eq!(count(&here, "production"), 0);
        let name = made.spec.name.clone();
        let started = here.start(&name, None, by(20)).await.unwrap();
        assert_eq!((started.state, started.started_at), (State::Running, Some(Timestamp(20))));
        assert_eq!(count(&there, "production"), 0);
        there.refresh().await.unwrap();
        let half = count(&here, "production");
        assert!((70..130).contains(&half) && count(&there, "production") == half && count(&here, "staging") == 0);
        assert!(matches!(there.start(&name, None, by(21)).await, Err(Error::Standing { .. })));
        assert!(matches!(there.start(&name, share(0.4), by(21)).await, Err(Error::Standing { .. })));
        let ramped = there.start(&name, share(1.0), by(22)).await.unwrap();
        assert_eq!((ramped.share, ramped.started_at), (share(1.0).unwrap(), Some(Timestamp(20))));
        assert_eq!(count(&there, "production"), 200);
        let stopped = there.stop(&name, by(30)).await.unwrap();
        assert_eq!((stopped.state, stopped.ended_at), (State::Stopped, Some(Timestamp(30))));
        here.refresh().await.unwrap();
        assert_eq!((count(&here, "production"), here.get("e").unwrap()), (0, stopped));
        for ended in [here.stop(&name, by(31)).await, here.start(&name, None, by(31)).await] {
            assert!(matches!(ended, Err(Error::Standing { .. })));
        }
        let missing = here.get("f").unwrap_err().to_string();
        assert!(missing.starts_with("there is no experiment `f`"), "{missing}");
    })
    .await;
}

#[tokio::test]
async fn a_label_has_one_experiment_at_a_time() {
    on_each(async |scratch| {
        let experiments = Experiments::open(scratch.db.clone()).await.unwrap();
        for (name, label) in [("one", "production"), ("two", "production"), ("three", "staging")] {
            experiments.create(spec(name, label), "salt".to_owned(), by(10)).await.unwrap();
        }
        let start = async |name: &str| experiments.start(&name.parse().unwrap(), None, by(20)).await;
        start("one").await.unwrap();
        start("three").await.unwrap();
        let refused = start("two").await.unwrap_err().to_string();
        assert!(refused.contains("`one` has the label production of p"), "{refused}");
        experiments.stop(&"one".parse().unwrap(), by(21)).await.unwrap();
        start("two").await.unwrap();
        assert_eq!(experiments.list().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_decision_is_made_once_and_read_back_whole() {
    on_each(async |scratch| {
        let (here, there) = (
            Experiments::open(scratch.db.clone()).await.unwrap(),
            Experiments::open(scratch.another().await).await.unwrap(),
        );
        here.create(spec("e", "production"), "salt".to_owned(), by(10)).await.unwrap();
        let running = here.start(&"e".parse().unwrap(), None, by(20)).await.unwrap();
        let next = running.after(&Verdict::Freeze("uneven".to_owned()), Timestamp(40)).unwrap();
        let mut undone = scratch.db.begin(TOPIC).await.unwrap();
        assert!(here.decide(&mut undone, (&running, &next), Some(("undone", Timestamp(40)))).await.unwrap());
        drop(undone);
        let decide = async |experiments: &Experiments| {
            let mut tx = scratch.db.begin(TOPIC).await.unwrap();
            let decided = experiments.decide(&mut tx, (&running, &next), Some(("n1", Timestamp(40)))).await.unwrap();
            tx.commit().await.unwrap();
            decided
        };
        assert!(decide(&here).await && !decide(&there).await);
        there.refresh().await.unwrap();
        assert_eq!(*there.get("e").unwrap(), next);
        send_in_vain(&there).await;
        let again = there.start(&"e".parse().unwrap(), None, by(50)).await.unwrap();
        assert_eq!(
            (again.state, again.decision.clone(), again.counted_from),
            (State::Running, None, Some(Timestamp(50)))
        );
        let harmed = Verdict::Harmed(vec!["b".parse().unwrap()], "worse".to_owned());
        let next = again.after(&harmed, Timestamp(60)).unwrap();
        let mut tx = scratch.db.begin(TOPIC).await.unwrap();
        assert!(here.decide(&mut tx, (&again, &next), None).await.unwrap());
        tx.commit().await.unwrap();
        here.refresh().await.unwrap();
        assert_eq!(*here.get("e").unwrap(), next);
        assert_eq!((next.state, count(&here, "production")), (State::Harmed, 0));
    })
    .await;
}

/// The message about the decision is due until it arrived or was given up, each time later than the last.
async fn send_in_vain(experiments: &Experiments) {
    let due = async |at: i64| experiments.notices(Timestamp(at)).await.unwrap();
    assert!(due(39).await.is_empty());
    let first = due(40).await;
    assert_eq!((first.len(), first[0].id.as_str(), first[0].tries), (1, "n1", 0));
    assert!(first[0].body.contains(r#""state":"frozen""#) && first[0].body.contains("uneven"), "{}", first[0].body);
    assert!(experiments.failed(&first[0], Timestamp(40)).await.unwrap());
    assert!(due(1_000_039).await.is_empty());
    let mut tries = 1;
    while let [notice] = &due(i64::MAX).await[..] {
        assert_eq!(notice.tries, tries);
        tries += 1;
        assert_eq!(experiments.failed(notice, Timestamp(50)).await.unwrap(), tries < 14);
    }
    assert_eq!(tries, 14);
}
