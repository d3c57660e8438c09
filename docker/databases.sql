-- Run once by psql, as the cluster's owner, when the database's volume is new: two users and their databases.
-- The passwords come from the environment, so that no file and no command line holds them.
SET log_min_error_statement = panic;  -- a statement that fails is not written to the log: it holds a password
\getenv optuna_password OPTUNA_DB_PASSWORD
\getenv mlflow_password MLFLOW_DB_PASSWORD
CREATE ROLE optuna LOGIN PASSWORD :'optuna_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE optuna OWNER optuna;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_users OWNER mlflow;
REVOKE CONNECT ON DATABASE optuna, mlflow, mlflow_users FROM PUBLIC;
