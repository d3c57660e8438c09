"""What MLflow may not do here; set in this process, and so in its children, before MLflow is imported."""

import logging
import os

PRIVATE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # seven consumers for language models: 1.8 GB
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",  # a pickled model runs code when it is loaded
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
os.environ.update(PRIVATE)
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # by itself it tries for minutes, and training waits
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
logging.getLogger("mlflow.store.db.utils").setLevel("CRITICAL")  # it logs what it raises, which is told as one line
