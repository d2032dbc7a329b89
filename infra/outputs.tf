output "events_service_account" {
  description = "One of LECTERN_EVENTS_SERVICE_ACCOUNTS."
  value       = google_service_account.events.email
}

output "archive_url" {
  description = "For LECTERN_ARCHIVE_URL."
  value       = "gs://${google_storage_bucket.archive.name}/segments"
}

output "ingest_audience" {
  description = "One of LECTERN_EVENTS_AUDIENCES."
  value       = local.ingest_answers
}
