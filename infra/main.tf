# What the Firebase CLI does not deploy: topics, the subscription that must not lose messages,
# the archive, who wakes functions, and the database's insurance.

terraform {
  required_version = ">= 1.6"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region
}

data "google_project" "this" {}

resource "google_service_account" "events" {
  account_id   = "lectern-events"
  display_name = "Wakes Lectern's event functions"
}

# Answers from other systems: the message is all there is of them, so nothing may be dropped.

resource "google_pubsub_topic" "answers_incoming" {
  name = "answers-incoming"
}

resource "google_pubsub_topic" "answers_incoming_dead" {
  name = "answers-incoming-dead"
}

locals {
  # Cloud Run lets in tokens for the function's own URL; functions.yaml names the account as its invoker.
  ingest_answers = "https://${var.region}-${var.project}.cloudfunctions.net/ingest_answers"
}

resource "google_pubsub_subscription" "answers_incoming" {
  name                       = "answers-incoming-ingest-answers"
  topic                      = google_pubsub_topic.answers_incoming.id
  ack_deadline_seconds       = 65
  message_retention_duration = "604800s"

  push_config {
    push_endpoint = local.ingest_answers
    oidc_token {
      service_account_email = google_service_account.events.email
      audience              = local.ingest_answers
    }
  }

  retry_policy {
    minimum_backoff = "1s"
    maximum_backoff = "60s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.answers_incoming_dead.id
    max_delivery_attempts = 10
  }

  expiration_policy {
    ttl = ""
  }
}

# A dead letter without a subscription would be lost.
resource "google_pubsub_subscription" "answers_incoming_dead" {
  name                       = "answers-incoming-dead"
  topic                      = google_pubsub_topic.answers_incoming_dead.id
  message_retention_duration = "2678400s"
  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves the dead letters.

locals {
  pubsub_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  topic  = google_pubsub_topic.answers_incoming_dead.id
  role   = "roles/pubsub.publisher"
  member = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  subscription = google_pubsub_subscription.answers_incoming.id
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

# The archive of sealed segments, and of who was erased. What is deleted from it is to be gone: so there are no
# versions (a bucket that had them loses them after a week), and a deleted object can be brought back for a week.

resource "google_storage_bucket" "archive" {
  name                        = "${var.project}-lectern-archive"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = false
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  lifecycle_rule {
    condition {
      days_since_noncurrent_time = 7
    }
    action {
      type = "Delete"
    }
  }

  lifecycle_rule {
    condition {
      age = 90
    }
    action {
      type          = "SetStorageClass"
      storage_class = "ARCHIVE"
    }
  }
}

# The database, with a way back: any minute of the last week, a day of the last week, a week of the last 14.

import {
  id = "projects/${var.project}/databases/(default)"
  to = google_firestore_database.default
}

resource "google_firestore_database" "default" {
  name                              = "(default)"
  location_id                       = var.firestore_location
  type                              = "FIRESTORE_NATIVE"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = "DELETE_PROTECTION_ENABLED"
}

resource "google_firestore_backup_schedule" "daily" {
  database  = google_firestore_database.default.name
  retention = "604800s"
  daily_recurrence {}
}

resource "google_firestore_backup_schedule" "weekly" {
  database  = google_firestore_database.default.name
  retention = "8467200s"
  weekly_recurrence {
    day = "SUNDAY"
  }
}

# Who is told of the alarms in monitoring.tf.json.

resource "google_monitoring_notification_channel" "email" {
  count        = var.alert_email == "" ? 0 : 1
  display_name = "Lectern"
  type         = "email"
  labels = {
    email_address = var.alert_email
  }
}
