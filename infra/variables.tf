variable "project" {
  description = "The Firebase project's id."
  type        = string
}

variable "region" {
  description = "Where functions run, as in functions.yaml."
  type        = string
  default     = "us-central1"
}

variable "firestore_location" {
  description = "Where the database was made: a region or a multi-region such as nam5."
  type        = string
  default     = "us-central1"
}

variable "alert_email" {
  description = "Who is told of alarms; empty: nobody, they only show in the console."
  type        = string
  default     = ""
}
