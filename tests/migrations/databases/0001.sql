BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE aliases (
	name TEXT NOT NULL, 
	checkpoint_id INTEGER NOT NULL, 
	created_at TEXT NOT NULL, 
	CONSTRAINT pk_aliases PRIMARY KEY (name), 
	CONSTRAINT fk_aliases_checkpoint_id FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "aliases" VALUES('champion',1,'2026-11-24T05:00:00+00:00');
CREATE TABLE checkpoints (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	root_id INTEGER NOT NULL, 
	rel_path TEXT NOT NULL, 
	device INTEGER NOT NULL, 
	inode INTEGER NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	mtime_ns INTEGER NOT NULL, 
	fingerprint INTEGER NOT NULL, 
	recheck INTEGER NOT NULL, 
	link_target TEXT, 
	format TEXT, 
	state TEXT NOT NULL, 
	source TEXT, 
	stale INTEGER NOT NULL, 
	exp_name TEXT, 
	architecture TEXT, 
	backbone TEXT, 
	decoder TEXT, 
	head TEXT, 
	loss TEXT, 
	epoch INTEGER, 
	global_step INTEGER, 
	max_epochs INTEGER, 
	training_phase TEXT, 
	monitor TEXT, 
	monitor_mode TEXT, 
	created_at TEXT, 
	config_path TEXT, 
	wandb_run_id TEXT, 
	precision FLOAT, 
	recall FLOAT, 
	hmean FLOAT, 
	validation_loss FLOAT, 
	num_parameters INTEGER, 
	num_tensors INTEGER, 
	dtypes TEXT, 
	weights_fingerprint TEXT, 
	param_set_id INTEGER, 
	provenance_set_id INTEGER, 
	problems TEXT, 
	resolved_at TEXT NOT NULL, 
	CONSTRAINT fk_checkpoints_param_set_id FOREIGN KEY(param_set_id) REFERENCES param_sets (id), 
	CONSTRAINT fk_checkpoints_provenance_set_id FOREIGN KEY(provenance_set_id) REFERENCES provenance_sets (id), 
	CONSTRAINT fk_checkpoints_root_id FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE, 
	CONSTRAINT uq_checkpoints_root_id_rel_path UNIQUE (root_id, rel_path)
);
INSERT INTO "checkpoints" VALUES(1,1,'craft-resnet18/checkpoints/epoch=5-step=60.ckpt',1,2147141,47805,1795488524305034875,2330546340900481461,0,NULL,'torch_zip','ready','legacy',0,'craft-resnet18','craft','resnet18','unet','craft_head','craft_loss',5,60,8,NULL,'val/loss','min',NULL,'craft-resnet18/.hydra/config.yaml','demo/text-detection/b5t0h4ne',NULL,NULL,NULL,8.41344222426414489746e-02,2942,10,'{"float32": 2942}','d04f13fa1259fc1fe1b7f2f926d46cd0',1,1,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(2,1,'craft-resnet18/checkpoints/epoch=6-step=70.ckpt',1,2147142,47805,1795488524361088275,-3923417637496171611,0,NULL,'torch_zip','ready','legacy',0,'craft-resnet18','craft','resnet18','unet','craft_head','craft_loss',6,70,8,NULL,'val/loss','min',NULL,'craft-resnet18/.hydra/config.yaml','demo/text-detection/b5t0h4ne',NULL,NULL,NULL,7.52143338322639465332e-02,2942,10,'{"float32": 2942}','e43e350a1791209e82d0e47665154e6b',1,1,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(3,1,'craft-resnet18/checkpoints/epoch=7-step=80.ckpt',1,2147143,47805,1795488524421566247,7726041576290038141,0,NULL,'torch_zip','ready','legacy',0,'craft-resnet18','craft','resnet18','unet','craft_head','craft_loss',7,80,8,NULL,'val/loss','min',NULL,'craft-resnet18/.hydra/config.yaml','demo/text-detection/b5t0h4ne',NULL,NULL,NULL,0.0731455609202385,2942,10,'{"float32": 2942}','ce7a3bc7174ba4a9d14f5b2c883d2052',1,1,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(4,1,'craft-resnet18/checkpoints/last.ckpt',1,2147144,47805,1795488524421566247,7746482912460970867,0,'craft-resnet18/checkpoints/epoch=7-step=80.ckpt','torch_zip','ready','legacy',0,'craft-resnet18','craft','resnet18','unet','craft_head','craft_loss',7,80,8,NULL,'val/loss','min',NULL,'craft-resnet18/.hydra/config.yaml','demo/text-detection/b5t0h4ne',NULL,NULL,NULL,0.0731455609202385,2942,10,'{"float32": 2942}','ce7a3bc7174ba4a9d14f5b2c883d2052',1,1,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(5,1,'dbnet-resnet18/checkpoints/epoch=5-step=60.ckpt',1,2147213,47805,1795488522986524343,8202558926717687685,0,NULL,'torch_zip','ready','yaml',0,'dbnet-resnet18','dbnet','resnet18','fpn','db_head','db_loss',5,60,8,'training','val/hmean','max','2026-11-24T02:48:42+00:00','dbnet-resnet18/.hydra/config.yaml','k3v9q1zt',7.51607716083526611328e-01,7.11838603019714355468e-01,7.31182813644409179687e-01,7.72811651229858398437e-01,NULL,NULL,NULL,NULL,2,2,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(6,1,'dbnet-resnet18/checkpoints/epoch=6-step=70.ckpt',1,2147215,47805,1795488523085633516,-7868615772793435486,0,NULL,'torch_zip','ready','yaml',0,'dbnet-resnet18','dbnet','resnet18','fpn','db_head','db_loss',6,70,8,'training','val/hmean','max','2026-11-24T02:48:43+00:00','dbnet-resnet18/.hydra/config.yaml','k3v9q1zt',7.61104464530944824218e-01,7.24019765853881835937e-01,7.42099106311798095703e-01,7.49855220317840576171e-01,NULL,NULL,NULL,NULL,2,2,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(7,1,'dbnet-resnet18/checkpoints/epoch=7-step=80.ckpt',1,2147217,47805,1795488523208324670,3104167129316108924,0,NULL,'torch_zip','ready','yaml',0,'dbnet-resnet18','dbnet','resnet18','fpn','db_head','db_loss',7,80,8,'training','val/hmean','max','2026-11-24T02:48:43+00:00','dbnet-resnet18/.hydra/config.yaml','k3v9q1zt',7.09215044975280761718e-01,7.91016340255737304687e-01,0.747885525226593,7.44625508785247802734e-01,NULL,NULL,NULL,NULL,2,2,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(8,1,'dbnet-resnet18/checkpoints/last.ckpt',1,2147219,47805,1795488523211838722,-2985594603126778612,0,NULL,'torch_zip','ready','yaml',0,'dbnet-resnet18','dbnet','resnet18','fpn','db_head','db_loss',7,80,8,'training','val/hmean','max','2026-11-24T02:48:43+00:00','dbnet-resnet18/.hydra/config.yaml','k3v9q1zt',7.09215044975280761718e-01,7.91016340255737304687e-01,0.747885525226593,7.44625508785247802734e-01,NULL,NULL,NULL,NULL,2,2,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(9,1,'run_042/checkpoints/model-v1.ckpt',1,2147362,36614,1795488525385758876,-4166383778572501961,0,NULL,'torch_zip','missing','legacy',0,'run_042','pan','mobilenetv3_small_050','fpem','pan_head','pan_loss',4,50,8,NULL,'val/hmean','max',NULL,NULL,NULL,NULL,NULL,7.60531306266784667968e-01,NULL,2078,7,'{"float32": 2078}','755c2bad166627a11e8e359bfa46120c',3,3,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(10,1,'run_042/checkpoints/model-v2.ckpt',1,2147363,36614,1795488525645939588,6871941331257781222,0,NULL,'torch_zip','ready','legacy',0,'run_042','pan','mobilenetv3_small_050','fpem','pan_head','pan_loss',7,80,8,NULL,'val/hmean','max',NULL,NULL,NULL,NULL,NULL,7.62351214885711669921e-01,NULL,2078,7,'{"float32": 2078}','4bbed0e8ed694365671fd5eed3f7463e',3,3,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(11,1,'run_042/checkpoints/model.ckpt',1,2147364,36614,1795488525558270692,4493471203819224538,0,NULL,'torch_zip','ready','legacy',0,'run_042','pan','mobilenetv3_small_050','fpem','pan_head','pan_loss',6,70,8,NULL,'val/hmean','max',NULL,NULL,NULL,NULL,NULL,7.68142938613891601562e-01,NULL,2078,7,'{"float32": 2078}','44f882a37794eba64e138cf82cde37be',3,3,NULL,'2026-11-25T10:16:21+00:00');
INSERT INTO "checkpoints" VALUES(12,1,'run_042/checkpoints/last.ckpt',1,2147361,36614,1795488525647861003,-1893754325275192272,0,NULL,'torch_zip','ready','legacy',0,'run_042','pan','mobilenetv3_small_050','fpem','pan_head','pan_loss',7,80,8,NULL,'val/hmean','max',NULL,NULL,NULL,NULL,NULL,7.62351214885711669921e-01,NULL,2078,7,'{"float32": 2078}','4bbed0e8ed694365671fd5eed3f7463e',3,3,NULL,'2026-11-25T10:16:21+00:00');
CREATE TABLE foreign_files (
	root_id INTEGER NOT NULL, 
	rel_path TEXT NOT NULL, 
	fingerprint INTEGER NOT NULL, 
	reason TEXT, 
	CONSTRAINT pk_foreign_files PRIMARY KEY (root_id, rel_path), 
	CONSTRAINT fk_foreign_files_root_id FOREIGN KEY(root_id) REFERENCES roots (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
CREATE TABLE metric_names (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	CONSTRAINT pk_metric_names PRIMARY KEY (id), 
	CONSTRAINT uq_metric_names_name UNIQUE (name)
);
INSERT INTO "metric_names" VALUES(1,'val/loss');
INSERT INTO "metric_names" VALUES(2,'val/precision');
INSERT INTO "metric_names" VALUES(3,'val/recall');
INSERT INTO "metric_names" VALUES(4,'val/hmean');
INSERT INTO "metric_names" VALUES(5,'train/loss');
INSERT INTO "metric_names" VALUES(6,'precision');
INSERT INTO "metric_names" VALUES(7,'recall');
INSERT INTO "metric_names" VALUES(8,'hmean');
INSERT INTO "metric_names" VALUES(9,'validation_loss');
CREATE TABLE metrics (
	checkpoint_id INTEGER NOT NULL, 
	name_id INTEGER NOT NULL, 
	value FLOAT, 
	origin_id INTEGER NOT NULL, 
	live INTEGER NOT NULL, 
	architecture TEXT, 
	CONSTRAINT pk_metrics PRIMARY KEY (checkpoint_id, name_id), 
	CONSTRAINT fk_metrics_checkpoint_id FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id) ON DELETE CASCADE, 
	CONSTRAINT fk_metrics_name_id FOREIGN KEY(name_id) REFERENCES metric_names (id), 
	CONSTRAINT fk_metrics_origin_id FOREIGN KEY(origin_id) REFERENCES origins (id)
)
 WITHOUT ROWID

;
INSERT INTO "metrics" VALUES(1,1,8.41344222426414489746e-02,52,1,'craft');
INSERT INTO "metrics" VALUES(2,1,7.52143338322639465332e-02,52,1,'craft');
INSERT INTO "metrics" VALUES(3,1,0.0731455609202385,52,1,'craft');
INSERT INTO "metrics" VALUES(4,1,0.0731455609202385,52,1,'craft');
INSERT INTO "metrics" VALUES(5,1,7.72811651229858398437e-01,72,1,'dbnet');
INSERT INTO "metrics" VALUES(5,2,7.51607716083526611328e-01,73,1,'dbnet');
INSERT INTO "metrics" VALUES(5,3,7.11838603019714355468e-01,74,1,'dbnet');
INSERT INTO "metrics" VALUES(5,4,7.31182813644409179687e-01,75,1,'dbnet');
INSERT INTO "metrics" VALUES(5,5,0.821524441242218,76,1,'dbnet');
INSERT INTO "metrics" VALUES(5,6,7.51607716083526611328e-01,66,1,'dbnet');
INSERT INTO "metrics" VALUES(5,7,7.11838603019714355468e-01,67,1,'dbnet');
INSERT INTO "metrics" VALUES(5,8,7.31182813644409179687e-01,61,1,'dbnet');
INSERT INTO "metrics" VALUES(5,9,7.72811651229858398437e-01,69,1,'dbnet');
INSERT INTO "metrics" VALUES(6,1,7.49855220317840576171e-01,72,1,'dbnet');
INSERT INTO "metrics" VALUES(6,2,7.61104464530944824218e-01,73,1,'dbnet');
INSERT INTO "metrics" VALUES(6,3,7.24019765853881835937e-01,74,1,'dbnet');
INSERT INTO "metrics" VALUES(6,4,7.42099106311798095703e-01,75,1,'dbnet');
INSERT INTO "metrics" VALUES(6,5,7.85379052162170410156e-01,76,1,'dbnet');
INSERT INTO "metrics" VALUES(6,6,7.61104464530944824218e-01,66,1,'dbnet');
INSERT INTO "metrics" VALUES(6,7,7.24019765853881835937e-01,67,1,'dbnet');
INSERT INTO "metrics" VALUES(6,8,7.42099106311798095703e-01,61,1,'dbnet');
INSERT INTO "metrics" VALUES(6,9,7.49855220317840576171e-01,69,1,'dbnet');
INSERT INTO "metrics" VALUES(7,1,7.44625508785247802734e-01,72,1,'dbnet');
INSERT INTO "metrics" VALUES(7,2,7.09215044975280761718e-01,73,1,'dbnet');
INSERT INTO "metrics" VALUES(7,3,7.91016340255737304687e-01,74,1,'dbnet');
INSERT INTO "metrics" VALUES(7,4,0.747885525226593,75,1,'dbnet');
INSERT INTO "metrics" VALUES(7,5,7.71772742271423339843e-01,76,1,'dbnet');
INSERT INTO "metrics" VALUES(7,6,7.09215044975280761718e-01,66,1,'dbnet');
INSERT INTO "metrics" VALUES(7,7,7.91016340255737304687e-01,67,1,'dbnet');
INSERT INTO "metrics" VALUES(7,8,0.747885525226593,61,1,'dbnet');
INSERT INTO "metrics" VALUES(7,9,7.44625508785247802734e-01,69,1,'dbnet');
INSERT INTO "metrics" VALUES(8,1,7.44625508785247802734e-01,72,1,'dbnet');
INSERT INTO "metrics" VALUES(8,2,7.09215044975280761718e-01,73,1,'dbnet');
INSERT INTO "metrics" VALUES(8,3,7.91016340255737304687e-01,74,1,'dbnet');
INSERT INTO "metrics" VALUES(8,4,0.747885525226593,75,1,'dbnet');
INSERT INTO "metrics" VALUES(8,5,7.71772742271423339843e-01,76,1,'dbnet');
INSERT INTO "metrics" VALUES(8,6,7.09215044975280761718e-01,66,1,'dbnet');
INSERT INTO "metrics" VALUES(8,7,7.91016340255737304687e-01,67,1,'dbnet');
INSERT INTO "metrics" VALUES(8,8,0.747885525226593,61,1,'dbnet');
INSERT INTO "metrics" VALUES(8,9,7.44625508785247802734e-01,69,1,'dbnet');
INSERT INTO "metrics" VALUES(9,4,7.60531306266784667968e-01,52,0,'pan');
INSERT INTO "metrics" VALUES(10,4,7.62351214885711669921e-01,52,1,'pan');
INSERT INTO "metrics" VALUES(11,4,7.68142938613891601562e-01,52,1,'pan');
INSERT INTO "metrics" VALUES(12,4,7.62351214885711669921e-01,52,1,'pan');
CREATE TABLE notes (
	checkpoint_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	updated_at TEXT NOT NULL, 
	CONSTRAINT pk_notes PRIMARY KEY (checkpoint_id), 
	CONSTRAINT fk_notes_checkpoint_id FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id) ON DELETE CASCADE
);
INSERT INTO "notes" VALUES(2,'kept for the paper; don''t delete','2026-11-24T05:00:00+00:00');
CREATE TABLE origins (
	id INTEGER NOT NULL, 
	tier TEXT NOT NULL, 
	role TEXT NOT NULL, 
	path TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	CONSTRAINT pk_origins PRIMARY KEY (id), 
	CONSTRAINT uq_origins_tier_role_path_key_scope UNIQUE (tier, role, path, "key", scope)
);
INSERT INTO "origins" VALUES(1,'legacy','header','','hyper_parameters.architecture_name','checkpoint');
INSERT INTO "origins" VALUES(2,'legacy','header','','hyper_parameters.encoder_name','checkpoint');
INSERT INTO "origins" VALUES(3,'legacy','header','','hyper_parameters.decoder_name','checkpoint');
INSERT INTO "origins" VALUES(4,'legacy','header','','hyper_parameters.head_name','checkpoint');
INSERT INTO "origins" VALUES(5,'legacy','header','','hyper_parameters.loss_name','checkpoint');
INSERT INTO "origins" VALUES(6,'legacy','header','','hyper_parameters.max_epochs','checkpoint');
INSERT INTO "origins" VALUES(7,'legacy','header','','hyper_parameters.lr','checkpoint');
INSERT INTO "origins" VALUES(8,'legacy','header','','hyper_parameters.weight_decay','checkpoint');
INSERT INTO "origins" VALUES(9,'legacy','header','','hyper_parameters.seed','checkpoint');
INSERT INTO "origins" VALUES(10,'legacy','config','../.hydra/config.yaml','model.architecture_name','run');
INSERT INTO "origins" VALUES(11,'legacy','config','../.hydra/config.yaml','model.loss.name','run');
INSERT INTO "origins" VALUES(12,'legacy','config','../.hydra/config.yaml','model.head.name','run');
INSERT INTO "origins" VALUES(13,'legacy','config','../.hydra/config.yaml','model.head.in_channels','run');
INSERT INTO "origins" VALUES(14,'legacy','config','../.hydra/config.yaml','model.decoder.name','run');
INSERT INTO "origins" VALUES(15,'legacy','config','../.hydra/config.yaml','model.decoder.in_channels.0','run');
INSERT INTO "origins" VALUES(16,'legacy','config','../.hydra/config.yaml','model.decoder.inner_channels','run');
INSERT INTO "origins" VALUES(17,'legacy','config','../.hydra/config.yaml','model.decoder.output_channels','run');
INSERT INTO "origins" VALUES(18,'legacy','config','../.hydra/config.yaml','model.encoder.model_name','run');
INSERT INTO "origins" VALUES(19,'legacy','config','../.hydra/config.yaml','model.encoder.pretrained','run');
INSERT INTO "origins" VALUES(20,'legacy','config','../.hydra/config.yaml','model.encoder.frozen','run');
INSERT INTO "origins" VALUES(21,'legacy','config','../.hydra/config.yaml','optimizer._target_','run');
INSERT INTO "origins" VALUES(22,'legacy','config','../.hydra/config.yaml','optimizer.lr','run');
INSERT INTO "origins" VALUES(23,'legacy','config','../.hydra/config.yaml','optimizer.weight_decay','run');
INSERT INTO "origins" VALUES(24,'legacy','config','../.hydra/config.yaml','data.batch_size','run');
INSERT INTO "origins" VALUES(25,'legacy','config','../.hydra/config.yaml','data.image_size','run');
INSERT INTO "origins" VALUES(26,'legacy','config','../.hydra/config.yaml','trainer.max_epochs','run');
INSERT INTO "origins" VALUES(27,'legacy','config','../.hydra/config.yaml','trainer.accelerator','run');
INSERT INTO "origins" VALUES(28,'legacy','config','../.hydra/config.yaml','callbacks.model_checkpoint._target_','run');
INSERT INTO "origins" VALUES(29,'legacy','config','../.hydra/config.yaml','callbacks.model_checkpoint.monitor','run');
INSERT INTO "origins" VALUES(30,'legacy','config','../.hydra/config.yaml','callbacks.model_checkpoint.mode','run');
INSERT INTO "origins" VALUES(31,'legacy','config','../.hydra/config.yaml','callbacks.model_checkpoint.save_top_k','run');
INSERT INTO "origins" VALUES(32,'legacy','config','../.hydra/config.yaml','callbacks.model_checkpoint.save_last','run');
INSERT INTO "origins" VALUES(33,'legacy','config','../.hydra/config.yaml','logger.wandb.id','run');
INSERT INTO "origins" VALUES(34,'legacy','config','../.hydra/config.yaml','logger.wandb.entity','run');
INSERT INTO "origins" VALUES(35,'legacy','config','../.hydra/config.yaml','logger.wandb.project','run');
INSERT INTO "origins" VALUES(36,'legacy','config','../.hydra/config.yaml','logger.wandb.offline','run');
INSERT INTO "origins" VALUES(37,'legacy','config','../.hydra/config.yaml','exp_name','run');
INSERT INTO "origins" VALUES(38,'yaml','sidecar','','model.encoder.pretrained','checkpoint');
INSERT INTO "origins" VALUES(39,'yaml','sidecar','','model.encoder.frozen','checkpoint');
INSERT INTO "origins" VALUES(40,'yaml','sidecar','','model.decoder.in_channels.0','checkpoint');
INSERT INTO "origins" VALUES(41,'yaml','sidecar','','model.decoder.inner_channels','checkpoint');
INSERT INTO "origins" VALUES(42,'yaml','sidecar','','model.decoder.output_channels','checkpoint');
INSERT INTO "origins" VALUES(43,'yaml','sidecar','','model.head.in_channels','checkpoint');
INSERT INTO "origins" VALUES(44,'yaml','sidecar','','checkpointing.save_top_k','checkpoint');
INSERT INTO "origins" VALUES(45,'yaml','sidecar','','checkpointing.save_last','checkpoint');
INSERT INTO "origins" VALUES(46,'legacy','config','../.hydra/config.yaml','seed','run');
INSERT INTO "origins" VALUES(47,'legacy','config','../.hydra/config.yaml','','run');
INSERT INTO "origins" VALUES(48,'legacy','header','','epoch','checkpoint');
INSERT INTO "origins" VALUES(49,'legacy','header','','global_step','checkpoint');
INSERT INTO "origins" VALUES(50,'legacy','header','','callbacks.ModelCheckpoint.monitor','checkpoint');
INSERT INTO "origins" VALUES(51,'legacy','header','','callbacks.ModelCheckpoint.mode','checkpoint');
INSERT INTO "origins" VALUES(52,'legacy','header','','callbacks.ModelCheckpoint.best_k_models','checkpoint');
INSERT INTO "origins" VALUES(53,'yaml','sidecar','','model.architecture','checkpoint');
INSERT INTO "origins" VALUES(54,'yaml','sidecar','','model.encoder.model_name','checkpoint');
INSERT INTO "origins" VALUES(55,'yaml','sidecar','','created_at','checkpoint');
INSERT INTO "origins" VALUES(56,'yaml','sidecar','','model.decoder.name','checkpoint');
INSERT INTO "origins" VALUES(57,'yaml','sidecar','','training.epoch','checkpoint');
INSERT INTO "origins" VALUES(58,'yaml','sidecar','','exp_name','checkpoint');
INSERT INTO "origins" VALUES(59,'yaml','sidecar','','training.global_step','checkpoint');
INSERT INTO "origins" VALUES(60,'yaml','sidecar','','model.head.name','checkpoint');
INSERT INTO "origins" VALUES(61,'yaml','sidecar','','metrics.hmean','checkpoint');
INSERT INTO "origins" VALUES(62,'yaml','sidecar','','model.loss.name','checkpoint');
INSERT INTO "origins" VALUES(63,'yaml','sidecar','','training.max_epochs','checkpoint');
INSERT INTO "origins" VALUES(64,'yaml','sidecar','','checkpointing.monitor','checkpoint');
INSERT INTO "origins" VALUES(65,'yaml','sidecar','','checkpointing.mode','checkpoint');
INSERT INTO "origins" VALUES(66,'yaml','sidecar','','metrics.precision','checkpoint');
INSERT INTO "origins" VALUES(67,'yaml','sidecar','','metrics.recall','checkpoint');
INSERT INTO "origins" VALUES(68,'yaml','sidecar','','training.training_phase','checkpoint');
INSERT INTO "origins" VALUES(69,'yaml','sidecar','','metrics.validation_loss','checkpoint');
INSERT INTO "origins" VALUES(70,'yaml','sidecar','','wandb_run_id','checkpoint');
INSERT INTO "origins" VALUES(71,'legacy','name','','path','run');
INSERT INTO "origins" VALUES(72,'yaml','sidecar','','metrics.additional_metrics.val/loss','checkpoint');
INSERT INTO "origins" VALUES(73,'yaml','sidecar','','metrics.additional_metrics.val/precision','checkpoint');
INSERT INTO "origins" VALUES(74,'yaml','sidecar','','metrics.additional_metrics.val/recall','checkpoint');
INSERT INTO "origins" VALUES(75,'yaml','sidecar','','metrics.additional_metrics.val/hmean','checkpoint');
INSERT INTO "origins" VALUES(76,'yaml','sidecar','','metrics.additional_metrics.train/loss','checkpoint');
CREATE TABLE param_groups (
	id INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	CONSTRAINT pk_param_groups PRIMARY KEY (id), 
	CONSTRAINT uq_param_groups_digest UNIQUE (digest)
);
INSERT INTO "param_groups" VALUES(1,'83d2400b925ba1898107944e7bc63895');
INSERT INTO "param_groups" VALUES(2,'9e9f7292f952bb2f31abc28eb4849507');
INSERT INTO "param_groups" VALUES(3,'785198833fb3f7a1d0f6cbec7b8312b1');
INSERT INTO "param_groups" VALUES(4,'c4a756bf1c549413ff62d37d788ca4c3');
INSERT INTO "param_groups" VALUES(5,'81ed09ffa83a61338ebc7acf9234922c');
INSERT INTO "param_groups" VALUES(6,'ae65f9adabff741fd668ae76a644c96e');
INSERT INTO "param_groups" VALUES(7,'0836ea828c6f7705b2d7d121879e6be7');
INSERT INTO "param_groups" VALUES(8,'db83456f2aa7027fc25d3c5021b96919');
INSERT INTO "param_groups" VALUES(9,'e59ad3c901bd24ef195ac10a2df0446f');
INSERT INTO "param_groups" VALUES(10,'3fda80946fc3eef7218e626c6e2cc410');
INSERT INTO "param_groups" VALUES(11,'623669a783d26ae5621d8fdb21348e83');
INSERT INTO "param_groups" VALUES(12,'87b65db05be53be3026ed64411dd5b68');
INSERT INTO "param_groups" VALUES(13,'3f13a1e0f371311fe7c2c180c0517417');
INSERT INTO "param_groups" VALUES(14,'2e945b2595207fd37a7050eb217e3962');
INSERT INTO "param_groups" VALUES(15,'c6b107d91877557c260c81f1645136c4');
INSERT INTO "param_groups" VALUES(16,'fd15d3e9234a12b9eb73dda4870472ca');
INSERT INTO "param_groups" VALUES(17,'9a0500bab37608aa311cd251ed90fab1');
INSERT INTO "param_groups" VALUES(18,'14e8151ed435b41fb060aeccc0f21633');
INSERT INTO "param_groups" VALUES(19,'f686706fb6c58ae73f53deee4cbe1e22');
INSERT INTO "param_groups" VALUES(20,'60d9c690ccadeb326a2445f04b129691');
INSERT INTO "param_groups" VALUES(21,'ff8cc7ad882db27ebf9b9631647d3e21');
INSERT INTO "param_groups" VALUES(22,'8792be5395becaa1e4b7a604bbd55750');
INSERT INTO "param_groups" VALUES(23,'af312b091dce92033953c34b46849c8c');
CREATE TABLE param_set_groups (
	param_set_id INTEGER NOT NULL, 
	param_group_id INTEGER NOT NULL, 
	CONSTRAINT pk_param_set_groups PRIMARY KEY (param_set_id, param_group_id), 
	CONSTRAINT fk_param_set_groups_param_group_id FOREIGN KEY(param_group_id) REFERENCES param_groups (id), 
	CONSTRAINT fk_param_set_groups_param_set_id FOREIGN KEY(param_set_id) REFERENCES param_sets (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "param_set_groups" VALUES(1,1);
INSERT INTO "param_set_groups" VALUES(1,2);
INSERT INTO "param_set_groups" VALUES(1,3);
INSERT INTO "param_set_groups" VALUES(1,4);
INSERT INTO "param_set_groups" VALUES(1,5);
INSERT INTO "param_set_groups" VALUES(1,6);
INSERT INTO "param_set_groups" VALUES(1,7);
INSERT INTO "param_set_groups" VALUES(1,8);
INSERT INTO "param_set_groups" VALUES(2,8);
INSERT INTO "param_set_groups" VALUES(1,9);
INSERT INTO "param_set_groups" VALUES(2,9);
INSERT INTO "param_set_groups" VALUES(1,10);
INSERT INTO "param_set_groups" VALUES(1,11);
INSERT INTO "param_set_groups" VALUES(1,12);
INSERT INTO "param_set_groups" VALUES(2,13);
INSERT INTO "param_set_groups" VALUES(2,14);
INSERT INTO "param_set_groups" VALUES(2,15);
INSERT INTO "param_set_groups" VALUES(2,16);
INSERT INTO "param_set_groups" VALUES(2,17);
INSERT INTO "param_set_groups" VALUES(2,18);
INSERT INTO "param_set_groups" VALUES(2,19);
INSERT INTO "param_set_groups" VALUES(2,20);
INSERT INTO "param_set_groups" VALUES(2,21);
INSERT INTO "param_set_groups" VALUES(2,22);
INSERT INTO "param_set_groups" VALUES(3,23);
CREATE TABLE param_sets (
	id INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	CONSTRAINT pk_param_sets PRIMARY KEY (id), 
	CONSTRAINT uq_param_sets_digest UNIQUE (digest)
);
INSERT INTO "param_sets" VALUES(1,'2ded821b42fc0264df84d1d5c63785b3');
INSERT INTO "param_sets" VALUES(2,'ce98bdf0f5593e525df018a7ea52442f');
INSERT INTO "param_sets" VALUES(3,'d5519284a5676f70d41b59c16c159f83');
CREATE TABLE params (
	param_group_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	type TEXT NOT NULL, 
	value BLOB, 
	origin_id INTEGER NOT NULL, 
	CONSTRAINT pk_params PRIMARY KEY (param_group_id, name), 
	CONSTRAINT fk_params_origin_id FOREIGN KEY(origin_id) REFERENCES origins (id), 
	CONSTRAINT fk_params_param_group_id FOREIGN KEY(param_group_id) REFERENCES param_groups (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "params" VALUES(1,'architecture_name','str','craft',1);
INSERT INTO "params" VALUES(1,'decoder_name','str','unet',3);
INSERT INTO "params" VALUES(1,'encoder_name','str','resnet18',2);
INSERT INTO "params" VALUES(1,'head_name','str','craft_head',4);
INSERT INTO "params" VALUES(1,'loss_name','str','craft_loss',5);
INSERT INTO "params" VALUES(1,'lr','float',0.03,7);
INSERT INTO "params" VALUES(1,'max_epochs','int',8,6);
INSERT INTO "params" VALUES(1,'seed','int',3,9);
INSERT INTO "params" VALUES(1,'weight_decay','float',0.0001,8);
INSERT INTO "params" VALUES(2,'model.architecture_name','str','craft',10);
INSERT INTO "params" VALUES(3,'model.loss.name','str','craft_loss',11);
INSERT INTO "params" VALUES(4,'model.head.in_channels','int',12,13);
INSERT INTO "params" VALUES(4,'model.head.name','str','craft_head',12);
INSERT INTO "params" VALUES(5,'model.decoder.in_channels.0','int',12,15);
INSERT INTO "params" VALUES(5,'model.decoder.inner_channels','int',12,16);
INSERT INTO "params" VALUES(5,'model.decoder.name','str','unet',14);
INSERT INTO "params" VALUES(5,'model.decoder.output_channels','int',12,17);
INSERT INTO "params" VALUES(6,'model.encoder.frozen','bool',0,20);
INSERT INTO "params" VALUES(6,'model.encoder.model_name','str','resnet18',18);
INSERT INTO "params" VALUES(6,'model.encoder.pretrained','bool',0,19);
INSERT INTO "params" VALUES(7,'optimizer._target_','str','torch.optim.Adam',21);
INSERT INTO "params" VALUES(7,'optimizer.lr','float',0.03,22);
INSERT INTO "params" VALUES(7,'optimizer.weight_decay','float',0.0001,23);
INSERT INTO "params" VALUES(8,'data.batch_size','int',16,24);
INSERT INTO "params" VALUES(8,'data.image_size','int',24,25);
INSERT INTO "params" VALUES(9,'trainer.accelerator','str','cpu',27);
INSERT INTO "params" VALUES(9,'trainer.max_epochs','int',8,26);
INSERT INTO "params" VALUES(10,'callbacks.model_checkpoint._target_','str','lightning.pytorch.callbacks.ModelCheckpoint',28);
INSERT INTO "params" VALUES(10,'callbacks.model_checkpoint.mode','str','min',30);
INSERT INTO "params" VALUES(10,'callbacks.model_checkpoint.monitor','str','val/loss',29);
INSERT INTO "params" VALUES(10,'callbacks.model_checkpoint.save_last','str','link',32);
INSERT INTO "params" VALUES(10,'callbacks.model_checkpoint.save_top_k','int',3,31);
INSERT INTO "params" VALUES(11,'logger.wandb.entity','str','demo',34);
INSERT INTO "params" VALUES(11,'logger.wandb.id','str','b5t0h4ne',33);
INSERT INTO "params" VALUES(11,'logger.wandb.offline','bool',1,36);
INSERT INTO "params" VALUES(11,'logger.wandb.project','str','text-detection',35);
INSERT INTO "params" VALUES(12,'exp_name','str','craft-resnet18',37);
INSERT INTO "params" VALUES(13,'checkpointing.save_last','bool',1,45);
INSERT INTO "params" VALUES(13,'checkpointing.save_top_k','int',3,44);
INSERT INTO "params" VALUES(13,'model.decoder.in_channels.0','int',12,40);
INSERT INTO "params" VALUES(13,'model.decoder.inner_channels','int',12,41);
INSERT INTO "params" VALUES(13,'model.decoder.output_channels','int',12,42);
INSERT INTO "params" VALUES(13,'model.encoder.frozen','bool',0,39);
INSERT INTO "params" VALUES(13,'model.encoder.pretrained','bool',0,38);
INSERT INTO "params" VALUES(13,'model.head.in_channels','int',12,43);
INSERT INTO "params" VALUES(14,'model.architecture_name','str','dbnet',10);
INSERT INTO "params" VALUES(15,'model.loss.name','str','db_loss',11);
INSERT INTO "params" VALUES(16,'model.head.name','str','db_head',12);
INSERT INTO "params" VALUES(17,'model.decoder.name','str','fpn',14);
INSERT INTO "params" VALUES(18,'model.encoder.model_name','str','resnet18',18);
INSERT INTO "params" VALUES(19,'optimizer._target_','str','torch.optim.Adam',21);
INSERT INTO "params" VALUES(19,'optimizer.lr','float',0.02,22);
INSERT INTO "params" VALUES(19,'optimizer.weight_decay','float',0.0001,23);
INSERT INTO "params" VALUES(20,'callbacks.model_checkpoint._target_','str','lightning.pytorch.callbacks.ModelCheckpoint',28);
INSERT INTO "params" VALUES(20,'callbacks.model_checkpoint.mode','str','max',30);
INSERT INTO "params" VALUES(20,'callbacks.model_checkpoint.monitor','str','val/hmean',29);
INSERT INTO "params" VALUES(20,'callbacks.model_checkpoint.save_last','bool',1,32);
INSERT INTO "params" VALUES(20,'callbacks.model_checkpoint.save_top_k','int',3,31);
INSERT INTO "params" VALUES(21,'logger.wandb.entity','str','demo',34);
INSERT INTO "params" VALUES(21,'logger.wandb.id','str','k3v9q1zt',33);
INSERT INTO "params" VALUES(21,'logger.wandb.offline','bool',1,36);
INSERT INTO "params" VALUES(21,'logger.wandb.project','str','text-detection',35);
INSERT INTO "params" VALUES(22,'exp_name','str','dbnet-resnet18',37);
INSERT INTO "params" VALUES(22,'seed','int',1,46);
INSERT INTO "params" VALUES(23,'architecture_name','str','pan',1);
INSERT INTO "params" VALUES(23,'decoder_name','str','fpem',3);
INSERT INTO "params" VALUES(23,'encoder_name','str','mobilenetv3_small_050',2);
INSERT INTO "params" VALUES(23,'head_name','str','pan_head',4);
INSERT INTO "params" VALUES(23,'loss_name','str','pan_loss',5);
INSERT INTO "params" VALUES(23,'lr','float',0.05,7);
INSERT INTO "params" VALUES(23,'max_epochs','int',8,6);
INSERT INTO "params" VALUES(23,'seed','int',5,9);
INSERT INTO "params" VALUES(23,'weight_decay','float',0.0001,8);
CREATE TABLE provenance_sets (
	id INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	origins TEXT NOT NULL, 
	CONSTRAINT pk_provenance_sets PRIMARY KEY (id), 
	CONSTRAINT uq_provenance_sets_digest UNIQUE (digest)
);
INSERT INTO "provenance_sets" VALUES(1,'b0f2a76974dc8c854a4faaa888afa61b','{"architecture": 1, "backbone": 2, "config_path": 47, "decoder": 3, "epoch": 48, "exp_name": 37, "global_step": 49, "head": 4, "loss": 5, "max_epochs": 6, "monitor": 50, "monitor_mode": 51, "validation_loss": 52, "wandb_run_id": 33}');
INSERT INTO "provenance_sets" VALUES(2,'116a8da98050d08985748b1677c5094e','{"architecture": 53, "backbone": 54, "config_path": 47, "created_at": 55, "decoder": 56, "epoch": 57, "exp_name": 58, "global_step": 59, "head": 60, "hmean": 61, "loss": 62, "max_epochs": 63, "monitor": 64, "monitor_mode": 65, "precision": 66, "recall": 67, "training_phase": 68, "validation_loss": 69, "wandb_run_id": 70}');
INSERT INTO "provenance_sets" VALUES(3,'c236bdb2fad51b341d512539e9ff2ade','{"architecture": 1, "backbone": 2, "decoder": 3, "epoch": 48, "exp_name": 71, "global_step": 49, "head": 4, "hmean": 52, "loss": 5, "max_epochs": 6, "monitor": 50, "monitor_mode": 51}');
CREATE TABLE roots (
	id INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	added_at TEXT NOT NULL, 
	scanned_at TEXT, 
	problems TEXT, 
	CONSTRAINT pk_roots PRIMARY KEY (id), 
	CONSTRAINT uq_roots_path UNIQUE (path)
);
INSERT INTO "roots" VALUES(1,'/data/outputs','2026-11-25T10:16:21+00:00','2026-11-25T10:16:21+00:00',NULL);
CREATE TABLE sources (
	checkpoint_id INTEGER NOT NULL, 
	role TEXT NOT NULL, 
	path TEXT NOT NULL, 
	size_bytes INTEGER NOT NULL, 
	mtime_ns INTEGER NOT NULL, 
	inode INTEGER NOT NULL, 
	CONSTRAINT pk_sources PRIMARY KEY (checkpoint_id, role), 
	CONSTRAINT fk_sources_checkpoint_id FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "sources" VALUES(1,'config','craft-resnet18/.hydra/config.yaml',738,1795488523889296293,2147137);
INSERT INTO "sources" VALUES(2,'config','craft-resnet18/.hydra/config.yaml',738,1795488523889296293,2147137);
INSERT INTO "sources" VALUES(3,'config','craft-resnet18/.hydra/config.yaml',738,1795488523889296293,2147137);
INSERT INTO "sources" VALUES(4,'config','craft-resnet18/.hydra/config.yaml',738,1795488523889296293,2147137);
INSERT INTO "sources" VALUES(5,'config','dbnet-resnet18/.hydra/config.yaml',732,1795488521669063329,2147192);
INSERT INTO "sources" VALUES(5,'sidecar','dbnet-resnet18/checkpoints/epoch=5-step=60.metadata.yaml',999,1795488522988014698,2147214);
INSERT INTO "sources" VALUES(6,'config','dbnet-resnet18/.hydra/config.yaml',732,1795488521669063329,2147192);
INSERT INTO "sources" VALUES(6,'sidecar','dbnet-resnet18/checkpoints/epoch=6-step=70.metadata.yaml',1000,1795488523087021827,2147216);
INSERT INTO "sources" VALUES(7,'config','dbnet-resnet18/.hydra/config.yaml',732,1795488521669063329,2147192);
INSERT INTO "sources" VALUES(7,'sidecar','dbnet-resnet18/checkpoints/epoch=7-step=80.metadata.yaml',998,1795488523209751844,2147218);
INSERT INTO "sources" VALUES(8,'config','dbnet-resnet18/.hydra/config.yaml',732,1795488521669063329,2147192);
INSERT INTO "sources" VALUES(8,'sidecar','dbnet-resnet18/checkpoints/last.metadata.yaml',987,1795488523213543415,2147220);
ANALYZE "sqlite_master";
INSERT INTO "sqlite_stat1" VALUES('sources','sources','12 2 1');
INSERT INTO "sqlite_stat1" VALUES('metrics','ix_metrics_by_value','44 5 5 2');
INSERT INTO "sqlite_stat1" VALUES('metrics','ix_metrics_by_architecture','44 5 5 4 2');
INSERT INTO "sqlite_stat1" VALUES('metrics','metrics','44 4 1');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','ix_checkpoints_param_set_id','12 4');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','ix_checkpoints_monitor','12 6 6');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','ix_checkpoints_inode','12 1');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','ix_checkpoints_exp_name','12 4');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','ix_checkpoints_architecture','12 4');
INSERT INTO "sqlite_stat1" VALUES('checkpoints','sqlite_autoindex_checkpoints_1','12 12 1');
CREATE TABLE tags (
	checkpoint_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT, 
	created_at TEXT NOT NULL, 
	CONSTRAINT pk_tags PRIMARY KEY (checkpoint_id, "key"), 
	CONSTRAINT fk_tags_checkpoint_id FOREIGN KEY(checkpoint_id) REFERENCES checkpoints (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "tags" VALUES(1,'production',NULL,'2026-11-24T05:00:00+00:00');
INSERT INTO "tags" VALUES(1,'stage','prod','2026-11-24T05:00:00+00:00');
INSERT INTO "tags" VALUES(4,'baseline',NULL,'2026-11-24T05:00:00+00:00');
CREATE TABLE wandb_history (
	wandb_run_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	"row" TEXT NOT NULL, 
	CONSTRAINT pk_wandb_history PRIMARY KEY (wandb_run_id, step), 
	CONSTRAINT fk_wandb_history_wandb_run_id FOREIGN KEY(wandb_run_id) REFERENCES wandb_runs (id) ON DELETE CASCADE
)
 WITHOUT ROWID

;
INSERT INTO "wandb_history" VALUES(1,10,'{"epoch": 0, "val/hmean": 0.5}');
CREATE TABLE wandb_runs (
	id INTEGER NOT NULL, 
	entity TEXT NOT NULL, 
	project TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	state TEXT, 
	found INTEGER NOT NULL, 
	config TEXT, 
	summary TEXT, 
	attributes TEXT, 
	history_complete INTEGER NOT NULL, 
	fetched_at TEXT NOT NULL, 
	expires_at TEXT, 
	CONSTRAINT pk_wandb_runs PRIMARY KEY (id), 
	CONSTRAINT uq_wandb_runs_entity_project_run_id UNIQUE (entity, project, run_id)
);
INSERT INTO "wandb_runs" VALUES(1,'team','ocr','abc123de','finished',1,'{"lr": 0.1}','{"val/hmean": 0.5}',NULL,1,'2026-11-24T05:00:00+00:00',NULL);
CREATE TABLE watchers (
	id INTEGER NOT NULL, 
	host TEXT NOT NULL, 
	pid INTEGER NOT NULL, 
	roots TEXT NOT NULL, 
	started_at TEXT NOT NULL, 
	heartbeat_at TEXT NOT NULL, 
	status TEXT, 
	CONSTRAINT pk_watchers PRIMARY KEY (id), 
	CONSTRAINT uq_watchers_host_pid UNIQUE (host, pid)
);
INSERT INTO "watchers" VALUES(1,'trainer',4711,'["/data/outputs"]','2026-11-24T05:00:00+00:00','2026-11-24T05:00:00+00:00',NULL);
CREATE INDEX ix_checkpoints_architecture ON checkpoints (architecture);
CREATE INDEX ix_checkpoints_exp_name ON checkpoints (exp_name);
CREATE INDEX ix_checkpoints_inode ON checkpoints (inode);
CREATE INDEX ix_checkpoints_monitor ON checkpoints (monitor, monitor_mode);
CREATE INDEX ix_checkpoints_param_set_id ON checkpoints (param_set_id);
CREATE INDEX ix_param_set_groups_param_group_id ON param_set_groups (param_group_id);
CREATE INDEX ix_params_by_value ON params (name, value);
CREATE INDEX ix_aliases_checkpoint_id ON aliases (checkpoint_id);
CREATE INDEX ix_metrics_by_architecture ON metrics (name_id, live, architecture, value);
CREATE INDEX ix_metrics_by_value ON metrics (name_id, live, value);
CREATE INDEX ix_tags_key ON tags ("key", value);
CREATE VIEW checkpoint_overview AS
SELECT c.id, CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path AS path, r.path AS root, c.rel_path, c.format, c.size_bytes,
       strftime('%Y-%m-%dT%H:%M:%S', c.mtime_ns / 1000000000, 'unixepoch') || '+00:00' AS mtime,
       c.state, c.source, c.stale,
       c.exp_name, c.architecture, c.backbone, c.decoder, c.head, c.loss,
       c.epoch, c.global_step, c.max_epochs, c.training_phase, c.monitor, c.monitor_mode, c.created_at,
       c.config_path, c.wandb_run_id, c.precision, c.recall, c.hmean, c.validation_loss,
       c.num_parameters, c.num_tensors, c.weights_fingerprint, c.link_target, n.text AS note
FROM checkpoints c
JOIN roots r ON r.id = c.root_id
LEFT JOIN notes n ON n.checkpoint_id = c.id
WHERE c.state <> 'missing';
CREATE VIEW checkpoint_metrics AS
SELECT m.checkpoint_id, CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path AS path, t.name, m.value, o.scope, o.tier AS source
FROM metrics m
JOIN metric_names t ON t.id = m.name_id
JOIN origins o ON o.id = m.origin_id
JOIN checkpoints c ON c.id = m.checkpoint_id
JOIN roots r ON r.id = c.root_id
WHERE m.live = 1;
CREATE VIEW checkpoint_params AS
SELECT c.id AS checkpoint_id, CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path AS path, p.name, p.value, p.type
FROM checkpoints c
JOIN param_set_groups g ON g.param_set_id = c.param_set_id
JOIN params p ON p.param_group_id = g.param_group_id
JOIN roots r ON r.id = c.root_id
WHERE c.state <> 'missing';
CREATE VIEW best_checkpoints AS
SELECT exp_name, monitor, monitor_mode, value, checkpoint_id, path, epoch, global_step
FROM (
    SELECT c.exp_name, c.monitor, c.monitor_mode, m.value, c.id AS checkpoint_id,
           CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path AS path, c.epoch, c.global_step,
           row_number() OVER (
               PARTITION BY c.exp_name, c.monitor, c.monitor_mode
               ORDER BY CASE c.monitor_mode WHEN 'max' THEN -m.value ELSE m.value END,
                        o.scope, c.global_step DESC, CASE r.path WHEN '/' THEN '' ELSE r.path END || '/' || c.rel_path
           ) AS place
    FROM checkpoints c
    JOIN metric_names t ON t.name = c.monitor
    JOIN metrics m ON m.checkpoint_id = c.id AND m.name_id = t.id
    JOIN origins o ON o.id = m.origin_id
    JOIN roots r ON r.id = c.root_id
    WHERE c.state = 'ready' AND c.exp_name IS NOT NULL AND c.monitor_mode IS NOT NULL AND m.value IS NOT NULL
)
WHERE place = 1;
CREATE VIEW wandb_run_cache AS
SELECT entity, project, run_id, state, found, fetched_at, expires_at FROM wandb_runs;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('checkpoints',12);
COMMIT;
