package config

// settings are all variables, in the order in which they are shown.
var settings = []SettingGroup{
	{"DAAP's PostgreSQL", []Setting{
		{
			Name: "DAAP_DATABASE_URL", Readers: everyProcess, Secret: true,
			Meaning: "The PostgreSQL database in which DAAP stores its own data, as " +
				"postgres://user:password@host:port/database. The user needs few rights once DAAP_MIGRATION_URL is used.",
		},
		{
			Name: "DAAP_MIGRATION_URL", Readers: []string{"migrate"}, Secret: true, Default: "DAAP_DATABASE_URL",
			Meaning: "The same database as the owner of its schema. The user of DAAP_DATABASE_URL then gets only the " +
				"rights that api and worker need, and cannot change the audit log.",
		},
	}},
	{"API", []Setting{
		{Name: "DAAP_HTTP_ADDR", Readers: []string{"api"}, Meaning: "The address on which the API listens, as host:port."},
		{
			Name: "DAAP_RATE_LIMIT", Readers: []string{"api"},
			Meaning: "How many requests per second each API key may send; bursts may be twice as large. 0 means no limit.",
		},
		{
			Name: "DAAP_TRUSTED_PROXIES", Readers: []string{"api"},
			Meaning: "The networks of proxies in front of the API whose X-Forwarded-For header is trusted, as 10.0.0.0/8,….",
		},
		{
			Name: "DAAP_BACKLOG", Readers: apiAndWorker,
			Meaning: "How many accepted operations may wait to be started before the API refuses new ones; 1 to 100000.",
		},
		{
			Name: "DAAP_ARGON2_MEMORY_KIB", Readers: []string{"api", "keys"},
			Meaning: "The memory that hashing an API key takes, in KiB; 8192 to 1048576. A key with a cheaper hash is " +
				"hashed again when it is next used.",
		},
		{
			Name: "DAAP_ARGON2_TIME", Readers: []string{"api", "keys"},
			Meaning: "The number of passes that hashing an API key takes; 1 to 10.",
		},
		{
			Name: "DAAP_ARGON2_THREADS", Readers: []string{"api", "keys"},
			Meaning: "The number of threads that hashing an API key takes; 1 to 16.",
		},
	}},
	{"Operations and databases", []Setting{
		{
			Name: "DAAP_STEP_DEADLINE", Readers: []string{"worker"},
			Meaning: "How long a step may take before its operation waits for an operator; 10s to 30m. Some steps have a " +
				"shorter deadline of their own.",
		},
		{
			Name: "DAAP_POSTGRES_VERSIONS", Readers: apiAndWorker,
			Meaning: "The PostgreSQL major versions that tiers can offer, each with its image: 17=image,18=image. The tag " +
				"of each image begins with the version.",
		},
		{
			Name: "DAAP_POOLER_IMAGE", Readers: []string{"worker"}, Default: "the operator's default",
			Meaning: "The image of PgBouncer.",
		},
		{
			Name: "DAAP_STORAGE_CLASS", Readers: []string{"worker"}, Default: "the cluster's default",
			Meaning: "The Kubernetes storage class for the volumes of databases whose tier names none.",
		},
		{
			Name: "DAAP_SHUTDOWN_TIMEOUT", Readers: []string{"api"},
			Meaning: "How long requests in progress may take to finish when the process is asked to stop; 1s to 5m.",
		},
		{
			Name: "KUBECONFIG", Readers: apiAndWorker, Default: "the pod's service account",
			Meaning: "The file that gives access to Kubernetes. The API only checks whether Kubernetes answers.",
		},
		{
			Name: "GOGC", Readers: []string{"worker"}, Default: "chosen by the worker",
			Meaning: "The garbage collection target of Go's runtime, in percent. A higher value takes more memory and less CPU.",
		},
	}},
	{"Backups and object stores", []Setting{
		{
			Name: "DAAP_BACKUP_ENDPOINT", Readers: []string{"worker"},
			Meaning: "The URL of the object store for backups, as databases and the worker reach it. Without it no tier can " +
				"have backups.",
		},
		{
			Name: "DAAP_BACKUP_ACCESS_KEY", Readers: []string{"worker"},
			Meaning: "The access key for the object store for backups. With DAAP_BACKUP_KEYS=minio it belongs to root or to a " +
				"user with admin:CreateUser, admin:DeleteUser, admin:CreatePolicy, admin:DeletePolicy, " +
				"admin:AttachUserOrGroupPolicy and s3:* on the buckets.",
		},
		{
			Name: "DAAP_BACKUP_SECRET_KEY", Readers: []string{"worker"}, Secret: true,
			Meaning: "The secret key that belongs to DAAP_BACKUP_ACCESS_KEY.",
		},
		{
			Name: "DAAP_BACKUP_KEYS", Readers: []string{"worker"},
			Meaning: "With minio, each database gets a MinIO user that reaches only its own backups. With shared, for other " +
				"object stores, every database gets DAAP_BACKUP_ACCESS_KEY and can read and delete all backups.",
		},
		{
			Name: "DAAP_S3_ALLOW", Readers: auditReaders,
			Meaning: "Networks in which object stores may be dialed although they are loopback, link-local or cloud metadata " +
				"addresses, as 127.0.0.0/8,….",
		},
	}},
	{"Audit log", []Setting{
		{
			Name: "DAAP_AUDIT_RETENTION", Readers: []string{"migrate"},
			Meaning: "How long entries of the audit log are kept; 24h to 87600h.",
		},
		{
			Name: "DAAP_AUDIT_HEADS", Readers: auditReaders,
			Meaning: "Where heads of the audit log are stored, as s3://bucket/prefix. Without them, DAAP cannot detect " +
				"that the newest entries were removed. Give the bucket versioning and a retention lock.",
		},
		{
			Name: "DAAP_S3_ENDPOINT", Readers: auditReaders,
			Meaning: "The URL of the object store for heads of the audit log. Databases never get its keys.",
		},
		{Name: "DAAP_S3_ACCESS_KEY", Readers: auditReaders, Meaning: "The access key for that object store."},
		{
			Name: "DAAP_S3_SECRET_KEY", Readers: auditReaders, Secret: true,
			Meaning: "The secret key that belongs to DAAP_S3_ACCESS_KEY.",
		},
	}},
	{"Network policies", []Setting{
		{
			Name: "DAAP_NETWORK_API_SERVERS", Readers: []string{"worker"}, Default: "required by worker",
			Meaning: "The endpoints of the Kubernetes API, which databases must reach, as 10.0.0.10:6443,…. " +
				"`kubectl get endpointslices kubernetes` shows them.",
		},
		{
			Name: "DAAP_NETWORK_STORE", Readers: []string{"worker"}, Default: "required with DAAP_BACKUP_ENDPOINT",
			Meaning: "The addresses of the object store for backups, which databases must reach, as 10.0.0.0/24:9000 or " +
				"namespace:9000.",
		},
		{
			Name: "DAAP_NETWORK_OPERATOR", Readers: []string{"worker"},
			Meaning: "The pods of the CloudNativePG operator, as namespace/label=value.",
		},
		{
			Name: "DAAP_NETWORK_WORKER", Readers: []string{"worker"},
			Meaning: "The pods of the worker, as namespace/label=value.",
		},
		{
			Name: "DAAP_NETWORK_METRICS", Readers: []string{"worker"},
			Meaning: "The pods that scrape the databases' metrics, as namespace or namespace/label=value.",
		},
		{
			Name: "DAAP_NETWORK_DNS", Readers: []string{"worker"},
			Meaning: "The pods of the cluster's DNS, as namespace/label=value.",
		},
	}},
	{"Temporal", []Setting{
		{
			Name: "TEMPORAL_ADDRESS", Readers: temporalClients, Default: "localhost:7233",
			Meaning: "The address of Temporal's frontend, as host:port.",
		},
		{
			Name: "TEMPORAL_NAMESPACE", Readers: temporalClients, Default: DefaultTemporalNamespace,
			Meaning: "The Temporal namespace of DAAP's workflows.",
		},
		{
			Name: "TEMPORAL_API_KEY", Readers: temporalClients, Secret: true,
			Meaning: "The API key for Temporal. It is only sent over TLS.",
		},
		{
			Name: "TEMPORAL_TLS", Readers: temporalClients, Default: "true with an API key or a certificate",
			Meaning: "Whether to connect to Temporal over TLS; true or false.",
		},
		{
			Name: "TEMPORAL_TLS_SERVER_CA_CERT_PATH", Readers: temporalClients, Default: "the system's CAs",
			Meaning: "The file with the CA that signed Temporal's certificate. The other TEMPORAL_… variables of the temporal " +
				"CLI, such as TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_CONFIG_FILE, work as well.",
		},
		{
			Name: "DAAP_TEMPORAL_CODEC_KEYS", Readers: []string{"api", "worker", "migrate", "codec"}, Secret: true,
			Default: "nothing is encrypted; required by codec",
			Meaning: "The keys that encrypt what Temporal stores, as id=<32 bytes in base64>,…. The first one encrypts, all " +
				"of them decrypt. With plain as the first one, nothing new is encrypted.",
		},
	}},
	{"Codec server", []Setting{
		{
			Name: "DAAP_CODEC_ADDR", Readers: []string{"codec"},
			Meaning: "The address on which the codec server listens, as host:port. Anyone who can reach it can decrypt " +
				"payloads.",
		},
		{
			Name: "DAAP_CODEC_ORIGIN", Readers: []string{"codec"},
			Meaning: "The origin of Temporal's UI, as https://temporal.example.com. Browsers may call the codec server from " +
				"its pages only.",
		},
	}},
	{"Logs", []Setting{
		{
			Name: "DAAP_LOG_LEVEL", Readers: everyLogger,
			Meaning: "The least severe messages to log: debug, info, warn or error.",
		},
		{Name: "DAAP_LOG_FORMAT", Readers: everyLogger, Meaning: "The format of the log: json, or console for people."},
	}},
}
