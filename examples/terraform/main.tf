# The layer, who may use it, and a function with it whose telemetry goes to a bucket.
#   ./build.sh --lambda && cd examples/terraform && terraform init && terraform apply
# Formatted and parsed; not planned or applied by us, for want of the provider and an account.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws     = { source = "hashicorp/aws", version = ">= 5.30" }
    archive = { source = "hashicorp/archive", version = ">= 2.4" }
  }
}

variable "architecture" {
  description = "Of the layer and of the function: x86_64 or arm64"
  type        = string
  default     = "x86_64"
  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "Expected x86_64 or arm64."
  }
}

variable "layer_arn" {
  description = "A version of the layer that is there already; empty to publish the zip in dist/"
  type        = string
  default     = ""
}

variable "organization" {
  description = "The organisation whose accounts may use the layer, as o-a1b2c3d4e5; empty for none"
  type        = string
  default     = ""
}

variable "accounts" {
  description = "Accounts that may use the layer"
  type        = set(string)
  default     = []
}

data "aws_partition" "here" {}

locals {
  zip     = "${path.module}/../../dist/telemetry-forwarder-${var.architecture}.zip"
  publish = var.layer_arn == ""
  layer   = local.publish ? aws_lambda_layer_version.forwarder[0].arn : var.layer_arn
}

resource "aws_lambda_layer_version" "forwarder" {
  count                    = local.publish ? 1 : 0
  layer_name               = "telemetry-forwarder-${var.architecture}"
  description              = "Forwards a function's telemetry to where FORWARDER_SINKS says"
  filename                 = local.zip
  source_code_hash         = filebase64sha256(local.zip)
  compatible_architectures = [var.architecture]
  license_info             = "Apache-2.0"
  skip_destroy             = true # old versions stay: functions elsewhere may have them
}

resource "aws_lambda_layer_version_permission" "organization" {
  count           = local.publish && var.organization != "" ? 1 : 0
  layer_name      = aws_lambda_layer_version.forwarder[0].layer_name
  version_number  = aws_lambda_layer_version.forwarder[0].version
  statement_id    = "organization"
  action          = "lambda:GetLayerVersion"
  principal       = "*"
  organization_id = var.organization
  skip_destroy    = true
}

resource "aws_lambda_layer_version_permission" "account" {
  for_each       = local.publish ? var.accounts : toset([])
  layer_name     = aws_lambda_layer_version.forwarder[0].layer_name
  version_number = aws_lambda_layer_version.forwarder[0].version
  statement_id   = "account-${each.value}"
  action         = "lambda:GetLayerVersion"
  principal      = each.value
  skip_destroy   = true
}

resource "aws_s3_bucket" "telemetry" {
  bucket_prefix = "telemetry-"
}

resource "aws_s3_bucket_public_access_block" "telemetry" {
  bucket                  = aws_s3_bucket.telemetry.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "telemetry" {
  bucket = aws_s3_bucket.telemetry.id
  rule {
    id     = "expire"
    status = "Enabled"
    filter {}
    expiration {
      days = 90
    }
  }
}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "sink" {
  statement {
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.telemetry.arn}/telemetry/*"]
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = "telemetry-"
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

# CloudWatch Logs, which is now a second copy; without this, Lambda writes nothing there.
resource "aws_iam_role_policy_attachment" "logs" {
  role       = aws_iam_role.function.name
  policy_arn = "arn:${data.aws_partition.here.partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
}

resource "aws_iam_role_policy" "sink" {
  name   = "sink"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.sink.json
}

data "archive_file" "function" {
  type        = "zip"
  source_file = "${path.module}/../function/app.py"
  output_path = "${path.module}/function.zip"
}

resource "aws_lambda_function" "example" {
  function_name    = "telemetry-forwarder-example"
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  handler          = "app.handler"
  runtime          = "python3.13"
  architectures    = [var.architecture]
  memory_size      = 256
  timeout          = 10
  role             = aws_iam_role.function.arn
  layers           = [local.layer]

  environment {
    variables = {
      FORWARDER_SINKS = "s3://${aws_s3_bucket.telemetry.id}/telemetry"
    }
  }
}

output "layer_arn" {
  description = "Attach this to other functions of the same architecture"
  value       = local.layer
}

output "bucket" {
  value = aws_s3_bucket.telemetry.id
}
