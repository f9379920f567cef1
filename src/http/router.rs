//! Every route on one page.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use super::{admin, batches, data, error, explain, feedback, files, health, key, models};
use crate::app::App;
use crate::wire::endpoint::ENDPOINTS;

/// The router of everything that Fulcrum serves.
pub fn router(app: App) -> Router {
    let named_by_path = ENDPOINTS.iter().filter(|row| row.methods.is_empty());
    let data = named_by_path
        .fold(Router::new(), |routes, row| routes.route(row.name, post(data::called)))
        .route("/v1beta/models/{*called}", get(models::one).post(data::called));
    let rest = Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1beta/models", get(models::list))
        .route("/v1/key", get(key::own))
        .route("/v1/models/{*id}", get(models::one).post(data::called))
        .route("/v1/explain", post(explain::explain))
        .route("/v1/feedback", post(feedback::create))
        .route("/v1/files", get(files::list).post(files::create))
        .route("/v1/files/{id}", get(files::one).delete(files::delete))
        .route("/v1/files/{id}/content", get(files::content))
        .route("/v1/batches", get(batches::list).post(batches::create))
        .route("/v1/batches/{id}", get(batches::one))
        .route("/v1/batches/{id}/cancel", post(batches::cancel))
        .route("/", get(health::root))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/api/openapi.json", get(admin::openapi))
        .nest("/api/v1", admin::routes())
        .fallback(health::nothing_here);
    data.merge(rest).method_not_allowed_fallback(health::wrong_method).layer(from_fn(error::guard)).with_state(app)
}
