//! Keys on a real database.

use serde_json::json;

use super::*;
use crate::chat::{self, Code};
use crate::db::scratch::{Scratch, on_each};
use crate::db::{Row, query};

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const CHOSEN: &str = "correct-horse-battery-staple";

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

struct Fixture {
    keys: Keys,
    admin: Option<Secret>,
    db: Db,
    _scratch: Scratch,
}

async fn fixture(scratch: Scratch, env: Option<&str>) -> Fixture {
    let db = scratch.db.clone();
    let (keys, admin) = Keys::open(db.clone(), env.map(Secret::new), Limits::default(), NOW).await.unwrap();
    Fixture { keys, admin, db, _scratch: scratch }
}

async fn reopen(db: &Db, env: Option<&str>) -> (Keys, Option<Secret>) {
    Keys::open(db.clone(), env.map(Secret::new), Limits::default(), later(1)).await.unwrap()
}

fn admin_id(keys: &Keys) -> Arc<str> {
    keys.list().iter().find(|key| key.is_lasting_admin()).unwrap().id.clone()
}

#[tokio::test]
async fn the_first_start_makes_an_admin_key_and_later_ones_do_not() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let admin = fixture.admin.unwrap();
        assert_eq!(fixture.keys.authenticate(admin.expose(), NOW).unwrap().role, Role::Admin);
        let (again, made) = reopen(&fixture.db, None).await;
        assert!(made.is_none());
        assert!(again.authenticate(admin.expose(), NOW).is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_chosen_admin_key_works_and_a_changed_one_replaces_it() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, Some(CHOSEN)).await;
        assert!(fixture.admin.is_none());
        assert!(fixture.keys.authenticate(CHOSEN, NOW).unwrap().allows(Role::Admin));
        assert!(matches!(fixture.keys.authenticate("another-horse-battery-staple", NOW), Err(Error::Malformed)));
        let (same, _) = reopen(&fixture.db, Some(CHOSEN)).await;
        assert_eq!(same.list().len(), 1);
        let (other, made) = reopen(&fixture.db, Some("another-horse-battery-staple")).await;
        assert!(made.is_none());
        assert!(other.authenticate("another-horse-battery-staple", NOW).is_ok());
        assert!(matches!(other.authenticate(CHOSEN, NOW), Err(Error::Revoked)));
    })
    .await;
}

#[tokio::test]
async fn a_weak_chosen_key_is_refused() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let weak = Keys::open(fixture.db.clone(), Some(Secret::new("admin")), Limits::default(), NOW).await;
        assert!(matches!(weak, Err(Error::WeakAdminKey(_))));
    })
    .await;
}

#[tokio::test]
async fn a_restart_does_not_bring_a_rotated_or_revoked_chosen_key_back() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, Some(CHOSEN)).await;
        let id = admin_id(&fixture.keys);
        let (_, rotated) = fixture.keys.rotate(&id, None, NOW).await.unwrap();
        let (keys, made) = reopen(&fixture.db, Some(CHOSEN)).await;
        assert!(made.is_none());
        assert!(keys.authenticate(CHOSEN, NOW).is_err());
        assert!(keys.authenticate(rotated.expose(), NOW).is_ok());
        keys.create(NewKey { role: Role::Admin, ..NewKey::named("second") }, NOW).await.unwrap();
        keys.revoke(&id, NOW).await.unwrap();
        let (keys, _) = reopen(&fixture.db, Some(CHOSEN)).await;
        assert!(keys.authenticate(CHOSEN, NOW).is_err());
        assert!(matches!(keys.authenticate(rotated.expose(), NOW), Err(Error::Revoked)));
    })
    .await;
}

#[tokio::test]
async fn a_key_is_made_read_back_and_found_by_its_secret_only() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let new = json!({"name": "shop", "project": "web", "models": ["fast", "openai/*"], "requests_per_minute": 7,
            "expires_at": "2099-01-01", "tags": {"team": "blue"}});
        let (made, secret) = fixture.keys.create(serde_json::from_value(new).unwrap(), NOW).await.unwrap();
        let (again, _) = reopen(&fixture.db, None).await;
        let read = again.get(&made.id).unwrap();
        assert_eq!(serde_json::to_value(&*read).unwrap(), serde_json::to_value(&*made).unwrap());
        assert_eq!(again.authenticate(secret.expose(), NOW).unwrap().id, made.id);
        assert_eq!(read.tags["team"], "blue");
        assert!(secret.expose().starts_with(&format!("fk-{}-", made.id)));
        assert!(matches!(again.authenticate(token::new_token(&made.id).expose(), NOW), Err(Error::Unknown)));
        assert!(matches!(again.authenticate(&made.id, NOW), Err(Error::Malformed)));
        assert!(matches!(again.authenticate("", NOW), Err(Error::Malformed)));
        let projects = again.projects().await.unwrap();
        assert_eq!(projects.iter().map(|project| &*project.name).collect::<Vec<_>>(), ["default", "web"]);
    })
    .await;
}

#[tokio::test]
async fn the_last_use_is_written_down_and_read_by_other_processes() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let (made, secret) = fixture.keys.create(NewKey::named("a"), NOW).await.unwrap();
        let used = |keys: &Keys| serde_json::to_value(&*keys.get(&made.id).unwrap()).unwrap()["last_used_at"].clone();
        assert_eq!(used(&fixture.keys), serde_json::Value::Null);
        fixture.keys.authenticate(secret.expose(), later(5)).unwrap();
        let revision = fixture.db.revision("keys").await.unwrap();
        fixture.keys.save_use().await.unwrap();
        assert_eq!(fixture.db.revision("keys").await.unwrap(), revision, "nobody need read the keys again for it");
        let (again, _) = reopen(&fixture.db, None).await;
        assert_eq!(used(&again), serde_json::to_value(later(5)).unwrap());
        again.authenticate(secret.expose(), later(9)).unwrap();
        again.save_use().await.unwrap();
        // What another process wrote counts once the keys are read again, and an older use takes nothing back.
        fixture.keys.save_use().await.unwrap();
        fixture.keys.create(NewKey::named("b"), NOW).await.unwrap();
        assert_eq!(used(&fixture.keys), serde_json::to_value(later(9)).unwrap());
    })
    .await;
}

#[tokio::test]
async fn the_database_holds_no_secret() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, Some(CHOSEN)).await;
        let (_, secret) = fixture.keys.create(NewKey::named("a"), NOW).await.unwrap();
        fixture.keys.rotate(&admin_id(&fixture.keys), Some(Duration::from_secs(9)), NOW).await.unwrap();
        let hidden = secret.expose().split('-').nth(2).unwrap();
        let texts = match &fixture.db {
            Db::Sqlite(db) => {
                let file = |end| std::fs::read(format!("{}{end}", db.path().display())).unwrap();
                ["", "-wal"].map(|end| String::from_utf8_lossy(&file(end)).into_owned()).to_vec()
            }
            Db::Postgres(_) => {
                let rows = query("select cast(keys as text) from keys").fetch_all(&fixture.db).await.unwrap();
                rows.iter().map(|row: &Row| row.get(0).unwrap()).collect()
            }
        };
        assert!(texts.len() > 1);
        for text in texts {
            assert!(!text.contains(hidden) && !text.contains(CHOSEN));
        }
    })
    .await;
}

#[tokio::test]
async fn an_expired_key_is_told_so() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let new = NewKey { expires_at: Some(later(60)), ..NewKey::named("a") };
        let (_, secret) = fixture.keys.create(new, NOW).await.unwrap();
        assert!(fixture.keys.authenticate(secret.expose(), later(59)).is_ok());
        let error = chat::Error::from(fixture.keys.authenticate(secret.expose(), later(60)).unwrap_err());
        assert_eq!(error.code, Code::InvalidApiKey);
        assert!(error.message.contains("expired"), "{error}");
    })
    .await;
}

#[tokio::test]
async fn revoking_stops_a_key_in_every_process_and_twice_is_once() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let (other, _) = reopen(&fixture.db, None).await;
        let (key, secret) = fixture.keys.create(NewKey::named("a"), NOW).await.unwrap();
        other.refresh().await.unwrap();
        assert!(other.authenticate(secret.expose(), NOW).is_ok());
        fixture.keys.revoke(&key.id, later(1)).await.unwrap();
        assert_eq!(fixture.keys.revoke(&key.id, later(2)).await.unwrap().revoked_at, Some(later(1)));
        assert!(matches!(fixture.keys.authenticate(secret.expose(), NOW), Err(Error::Revoked)));
        other.refresh().await.unwrap();
        assert!(matches!(other.authenticate(secret.expose(), NOW), Err(Error::Revoked)));
        assert!(matches!(other.rotate(&key.id, None, NOW).await, Err(Error::AlreadyRevoked(_))));
        assert!(matches!(other.patch(&key.id, KeyPatch::default(), NOW).await, Err(Error::AlreadyRevoked(_))));
        assert!(matches!(other.revoke("nope", NOW).await, Err(Error::NoSuchKey { .. })));
    })
    .await;
}

#[tokio::test]
async fn rotation_stops_the_old_secret_at_once_or_after_the_grace() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let (key, first) = fixture.keys.create(NewKey::named("a"), NOW).await.unwrap();
        let (_, second) = fixture.keys.rotate(&key.id, None, NOW).await.unwrap();
        assert!(matches!(fixture.keys.authenticate(first.expose(), NOW), Err(Error::Unknown)));
        let (_, third) = fixture.keys.rotate(&key.id, Some(Duration::from_secs(60)), NOW).await.unwrap();
        assert!(fixture.keys.authenticate(second.expose(), later(59)).is_ok());
        assert!(fixture.keys.authenticate(second.expose(), later(60)).is_err());
        assert_eq!(fixture.keys.authenticate(third.expose(), later(60)).unwrap().id, key.id);
        let long = fixture.keys.rotate(&key.id, Some(Duration::from_secs(31 * 86_400)), NOW).await;
        assert!(matches!(long, Err(Error::Invalid { field: "grace", .. })));
    })
    .await;
}

#[tokio::test]
async fn a_chosen_key_opens_during_its_grace() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, Some(CHOSEN)).await;
        fixture.keys.rotate(&admin_id(&fixture.keys), Some(Duration::from_secs(60)), NOW).await.unwrap();
        assert!(fixture.keys.authenticate(CHOSEN, later(59)).is_ok());
        assert!(fixture.keys.authenticate(CHOSEN, later(60)).is_err());
    })
    .await;
}

#[tokio::test]
async fn the_last_admin_key_cannot_be_revoked_demoted_or_made_to_lapse() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let id = admin_id(&fixture.keys);
        let lapsing = NewKey { role: Role::Admin, expires_at: Some(later(60)), ..NewKey::named("lapses") };
        let (lapsing, _) = fixture.keys.create(lapsing, NOW).await.unwrap();
        let demoted = KeyPatch { role: Some(Role::Editor), ..KeyPatch::default() };
        let limited = KeyPatch { expires_at: Some(Some(later(60))), ..KeyPatch::default() };
        assert!(matches!(fixture.keys.revoke(&id, NOW).await, Err(Error::LastAdmin)));
        assert!(matches!(fixture.keys.patch(&id, demoted.clone(), NOW).await, Err(Error::LastAdmin)));
        let error = chat::Error::from(fixture.keys.patch(&id, limited, NOW).await.unwrap_err());
        assert_eq!(error.code, Code::Conflict);
        assert!(fixture.keys.authenticate(fixture.admin.unwrap().expose(), NOW).unwrap().allows(Role::Admin));
        fixture.keys.revoke(&lapsing.id, NOW).await.unwrap();
        fixture.keys.create(NewKey { role: Role::Admin, ..NewKey::named("second") }, NOW).await.unwrap();
        assert_eq!(fixture.keys.patch(&id, demoted, NOW).await.unwrap().role, Role::Editor);
    })
    .await;
}

#[tokio::test]
async fn of_two_admins_that_revoke_each_other_at_once_one_remains() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let first = admin_id(&fixture.keys);
        let second = NewKey { role: Role::Admin, ..NewKey::named("second") };
        let (second, _) = fixture.keys.create(second, NOW).await.unwrap();
        let (a, b) = tokio::join!(fixture.keys.revoke(&first, NOW), fixture.keys.revoke(&second.id, NOW));
        assert!(a.is_ok() != b.is_ok());
    })
    .await;
}

#[tokio::test]
async fn a_limit_keeps_its_count_when_keys_change() {
    on_each(async |scratch| {
        let fixture = fixture(scratch, None).await;
        let new = NewKey { requests_per_minute: Some(2), ..NewKey::named("a") };
        let (_, secret) = fixture.keys.create(new, NOW).await.unwrap();
        let admit = || {
            let key = fixture.keys.authenticate(secret.expose(), NOW).unwrap();
            fixture.keys.admit(&key, NOW)
        };
        assert_eq!(admit().unwrap().unwrap().remaining, 1);
        let (other, _) = fixture.keys.create(NewKey::named("b"), NOW).await.unwrap();
        assert_eq!(admit().unwrap().unwrap().remaining, 0);
        let refused = admit().unwrap_err();
        assert_eq!(refused.retry_after, Duration::from_secs(30));
        let error = chat::Error::from(refused);
        assert_eq!((error.code, error.retry_after), (Code::RateLimitExceeded, Some(Duration::from_secs(30))));
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"This key's limit of 2 requests a minute is reached; try again in 30.0 s.");
        }
        assert_eq!(fixture.keys.admit(&other, NOW), Ok(None));
        fixture.keys.set_defaults(Limits { requests_per_minute: NonZeroU32::new(1), ..Limits::default() });
        assert!(fixture.keys.admit(&other, NOW).is_ok());
        assert!(fixture.keys.admit(&other, NOW).is_err());
    })
    .await;
}

#[tokio::test]
async fn a_new_key_opens_though_its_address_sent_too_many_wrong_ones_and_the_database_is_asked_seldom() {
    on_each(async |scratch| {
        let limits = Limits { wrong_keys_per_minute: NonZeroU32::new(2), ..Limits::default() };
        let fixture = fixture(scratch, Some(CHOSEN)).await;
        fixture.keys.set_defaults(limits);
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let open = async |token: &str| match fixture.keys.authenticate(token, NOW) {
            Ok(key) => Ok(key),
            Err(error) => fixture.keys.look_up(token, error, Some(proxy), NOW).await,
        };
        let (elsewhere, _) = reopen(&fixture.db, Some(CHOSEN)).await;
        let make = async |name: &str| elsewhere.create(NewKey::named(name), NOW).await.unwrap().1;
        let wrong = token::new_token(&token::new_id());
        let wrong = wrong.expose();
        for _ in 0..3 {
            assert!(open(wrong).await.is_err());
        }
        assert!(matches!(open(wrong).await, Err(Error::Guessing(_))));
        let fresh = make("fresh").await;
        assert_eq!(open(fresh.expose()).await.unwrap().name.to_string(), "fresh");
        for _ in 0..60 {
            assert!(matches!(open(wrong).await, Err(Error::Guessing(_))));
        }
        let late = make("late").await;
        assert!(matches!(open(late.expose()).await, Err(Error::Guessing(_))), "look-ups have a bound");
        fixture.keys.refresh().await.unwrap();
        assert!(open(late.expose()).await.is_ok(), "as the gateway reads them once a second");
    })
    .await;
}
