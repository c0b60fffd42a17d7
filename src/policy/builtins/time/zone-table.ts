/*
 * Names and abbreviations of time zones, which Intl does not give: https://www.iana.org/time-zones, release 2025c (public
 * domain), abbreviations as they are since 1970.
 *
 * A line is `offset=abbreviation …: names`; lines that begin with a blank go on with the one before. Offsets are in hours
 * east of UTC. `EEST<2016<+03` is EEST before 2016 and +03 from then on. Offsets that are not listed have numeric
 * abbreviations. A name that ends in a slash is a prefix of those after it.
 */

export const ZONE_TABLE = `
0=GMT: GMT GMT+0 GMT-0 GMT0 Greenwich Iceland Africa/ Abidjan Accra Bamako Banjul Bissau Conakry Dakar Freetown Lome
 Nouakchott Ouagadougou Timbuktu America/ Danmarkshavn Atlantic/ Reykjavik St_Helena Etc/ GMT GMT+0 GMT-0 GMT0
 Greenwich
3=EAT: Africa/ Addis_Ababa Asmara Asmera Dar_es_Salaam Djibouti Kampala Mogadishu Nairobi Indian/ Antananarivo
 Comoro Mayotte
0=WET 1=WEST<1977-10-20T23:00Z<CET<1980<WEST<1981<CET 2=CEST: Africa/ Algiers
1=WAT: Africa/ Bangui Brazzaville Douala Kinshasa Lagos Libreville Luanda Malabo Niamey Porto-Novo
2=CAT: Africa/ Blantyre Bujumbura Gaborone Harare Kigali Lubumbashi Lusaka Maputo
2=EET 3=EEST: EET Egypt Africa/ Cairo Asia/ Beirut Nicosia Europe/ Athens Bucharest Helsinki Mariehamn Nicosia Sofia
0=WET 1=WEST<1984<CET 2=CEST: Africa/ Ceuta
2=SAST: Africa/ Johannesburg Maseru Mbabane
2=CAT 3=CAST<2000<EAT: Africa/ Juba Khartoum
-0.74166666667=MMT 0=GMT: Africa/ Monrovia
1=WAT 2=WAST: Africa/ Ndjamena
0=GMT 1=WAT: Africa/ Sao_Tome
1=CET 2=EET<1982<CEST<1990<EET<1997<CEST<1997-10-03T22:00Z<EET<2013<CEST<2013-10-25<EET: Libya Africa/ Tripoli
1=CET 2=CEST: CET MET Poland Africa/ Tunis Arctic/ Longyearbyen Atlantic/ Jan_Mayen Europe/ Amsterdam Andorra
 Belgrade Berlin Bratislava Brussels Budapest Busingen Copenhagen Gibraltar Ljubljana Luxembourg Madrid Malta Monaco
 Oslo Paris Podgorica Prague Rome San_Marino Sarajevo Skopje Stockholm Tirane Vaduz Vatican Vienna Warsaw Zagreb
 Zurich
1=WAT 2=SAST<1990-03-20T22:00Z<CAT: Africa/ Windhoek
-11=BST -10=BDT<1983-10-30T12:00Z<AHST<1983-11-30T10:00Z<HST -9=HDT: America/ Adak Atka US/ Aleutian
-10=AHST -9=AHDT<1983-10-30T11:00Z<YST<1983-11-30T09:00Z<AKST -8=AKDT: America/ Anchorage US/ Alaska
-4=AST: America/ Anguilla Antigua Aruba Blanc-Sablon Curacao Dominica Grenada Guadeloupe Kralendijk Lower_Princes
 Marigot Miquelon Montserrat Port_of_Spain Puerto_Rico St_Barthelemy St_Kitts St_Lucia St_Thomas St_Vincent Tortola
 Virgin
-5=EST: EST America/ Atikokan Cayman Coral_Harbour Panama
-7=MST -6=MDT<2010<CST -5=CDT: America/ Bahia_Banderas
-4=AST -3=ADT: America/ Barbados Glace_Bay Halifax Martinique Moncton Thule Atlantic/ Bermuda Canada/ Atlantic
-6=CST -5=CDT: CST6CDT America/ Belize Chicago Costa_Rica El_Salvador Guatemala Matamoros Mexico_City Monterrey
 Rainy_River Tegucigalpa Winnipeg Canada/ Central Mexico/ General US/ Central
-7=MST -6=MDT: MST7MDT Navajo America/ Boise Denver Edmonton Hermosillo Mazatlan Shiprock Yellowknife Canada/
 Mountain Mexico/ BajaSur US/ Mountain
-7=MST -6=MDT<1999-10-31T08:00Z<CST<2001-04-01T09:00Z<MDT -5=CDT<2000-10-29T07:00Z<EST: America/ Cambridge_Bay
-6=CST -5=EST<1996<CDT<1997-10-26T07:00Z<EST<1998-08<CDT<2015<EST -4=EDT: America/ Cancun
-7=MST -6=CST<1998-04-05T09:00Z<MDT<2022-10-30T08:00Z<CST -5=CDT: America/ Chihuahua Ojinaga
-7=MST -6=CST<1998-04-05T09:00Z<MDT<2022-10-30T08:00Z<CST<2023<MDT -5=CDT: America/ Ciudad_Juarez
-7=MST: MST America/ Creston Phoenix US/ Arizona
-9=YST -8=PST -7=PDT<2020-11-01T07:00Z<MST: America/ Dawson
-8=PST -7=PDT<1972-08-30T09:00Z<MST: America/ Dawson_Creek
-5=EST -4=EDT: EST5EDT Jamaica America/ Detroit Fort_Wayne Indiana/Indianapolis Indiana/Vevay Indianapolis Jamaica
 Montreal Nassau New_York Nipigon Port-au-Prince Thunder_Bay Toronto Canada/ Eastern US/ East-Indiana Eastern
 Michigan
-8=PST -7=PDT: PST8PDT America/ Ensenada Los_Angeles Santa_Isabel Tijuana Vancouver Canada/ Pacific Mexico/
 BajaNorte US/ Pacific
-8=PST -7=PDT<2015<MST: America/ Fort_Nelson
-4=AST -3=ADT -2=ADDT: America/ Goose_Bay
-5=EST -4=EDT<2015<AST<2018-03-11T07:00Z<EDT: America/ Grand_Turk
-5=CST -4=CDT: Cuba America/ Havana
-6=CST -5=CDT<1991-10-27T07:00Z<EST<2006-04-02T07:00Z<CDT: America/ Indiana/Knox Knox_IN US/ Indiana-Starke
-5=EST<1974-01-06T07:00Z<CDT<1974-10-27T07:00Z<EST -4=EDT: America/ Indiana/Marengo Kentucky/Louisville Louisville
-6=CST -5=CDT<1977-10-30T07:00Z<EST<2006-04-02T07:00Z<CDT<2007-11-04T07:00Z<EST -4=EDT: America/ Indiana/Petersburg
-6=CST -5=EST<2006-04-02T07:00Z<CDT -4=EDT: America/ Indiana/Tell_City
-6=CST -5=EST<2006-04-02T07:00Z<CDT<2007-11-04T07:00Z<EST -4=EDT: America/ Indiana/Vincennes
-6=CST -5=EST<2006-04-02T07:00Z<CDT<2007<EST -4=EDT: America/ Indiana/Winamac
-8=PST -7=PDT<1979<MST -6=MDT: America/ Inuvik
-6=CST -5=EST<2000<CDT<2000-10-29T07:00Z<EST -4=EDT: America/ Iqaluit Pangnirtung
-9=YST<1983-11-30T09:00Z<AKST -8=PST<1980-04-27T10:00Z<YDT<1980-10-26T10:00Z<PST<1984<AKDT -7=PDT: America/ Juneau
-6=CST -5=CDT<2000-10-29T07:00Z<EST -4=EDT: America/ Kentucky/Monticello
-6=CST -5=EST<1979<CDT<1992<EST<2005<CDT: America/ Managua
-6=CST -5=EST<1973-04-29T07:00Z<CDT: America/ Menominee
-6=CST -5=EST<1996<CDT: America/ Merida
-9=AKST -8=PST<2016<AKDT<2018-11-04T10:00Z<PST<2019-03<AKDT -7=PDT: America/ Metlakatla
-11=BST -10=BDT -9=YST<1983-11-30T09:00Z<AKST -8=AKDT: America/ Nome
-7=MST -6=MDT<2010-11-07T08:00Z<CST -5=CDT: America/ North_Dakota/Beulah
-7=MST -6=MDT<1992-10-25T08:00Z<CST -5=CDT: America/ North_Dakota/Center
-7=MST -6=MDT<2003-10-26T08:00Z<CST -5=CDT: America/ North_Dakota/New_Salem
-6=CST -5=CDT<2000-10-29T07:00Z<EST<2001-04-01T08:00Z<CDT: America/ Rankin_Inlet
-6=CST: America/ Regina Canada/ Saskatchewan
-6=CST -5=CDT<2000-10-29T07:00Z<EST<2001-04-01T08:00Z<CDT<2006-10-29T07:00Z<EST<2007-03-11T08:00Z<CDT: America/
 Resolute
-5=EST -4=AST: America/ Santo_Domingo
-9=YST<1983-11-30T09:00Z<AKST -8=PST<1984<AKDT -7=PDT: America/ Sitka
-3.5=NST -2.5=NDT -1.5=NDDT: America/ St_Johns Canada/ Newfoundland
-7=MST -6=CST: America/ Swift_Current
-8=PST -7=PDT<2020-11-01T07:00Z<MST: America/ Whitehorse Canada/ Yukon
-9=YST<1983-11-30T09:00Z<AKST -8=YDT<1984<AKDT: America/ Yakutat
10=AEST 11=AEDT: Antarctica/ Macquarie Australia/ ACT Brisbane Canberra Currie Hobart Lindeman Melbourne NSW
 Queensland Sydney Tasmania Victoria
12=NZST 13=NZDT: NZ Antarctica/ McMurdo South_Pole Pacific/ Auckland
0=-00: Antarctica/ Rothera Vostok
0=-00<2005-02-12<+00: Antarctica/ Troll
2=EET 3=EEST<2022-10-27T22:00Z<+03: Asia/ Amman
5.5=IST: Asia/ Calcutta Kolkata
8=CST 9=CDT: PRC ROC Asia/ Chongqing Chungking Harbin Macao Macau Shanghai Taipei
2=EET 3=EEST<2022-10-27T21:00Z<+03: Asia/ Damascus
2=EET 3=EEST<2016-09-07T21:00Z<+03<2018<EEST: Asia/ Famagusta
2=IST<1995-12-31T22:00Z<EET 3=IDT<1996<EEST: Asia/ Gaza Hebron
8=HKT 9=HKST: Hongkong Asia/ Hong_Kong
2=EET 3=EEST<1978-06-28T21:00Z<+03<1985<EEST<2016-09-06T21:00Z<+03: Turkey Asia/ Istanbul Europe/ Istanbul
7=WIB: Asia/ Jakarta
9=WIT: Asia/ Jayapura
2=IST 3=IDT: Israel Asia/ Jerusalem Tel_Aviv
5=+05<1971-03-25T19:00Z<PKT 6=PKST: Asia/ Karachi
8=WITA: Asia/ Makassar Ujung_Pandang
8=PST 9=PDT: Asia/ Manila
7=WIB 8=WITA: Asia/ Pontianak
8.5=KST 9=KST: Asia/ Pyongyang
9=KST 10=KDT: ROK Asia/ Seoul
9=JST: Japan Asia/ Tokyo
0=+00<1992-12<WET<1993-06<+00 1=WEST: Atlantic/ Azores
0=WET 1=WEST: Atlantic/ Canary Faeroe Faroe Madeira
9.5=ACST 10.5=ACDT: Australia/ Adelaide Broken_Hill South Yancowinna
9.5=ACST: Australia/ Darwin North
10=AEST: Australia/ LHI Lord_Howe
8=AWST 9=AWDT: Australia/ Perth West
0=GMT 1=IST: Eire Europe/ Dublin
0=UTC: UCT UTC Universal Zulu Etc/ UCT UTC Universal Zulu
0=GMT 1=BST: GB GB-Eire Europe/ Belfast Guernsey Isle_of_Man Jersey London
2=EET 3=MSK<1990-05<EEST 4=MSD: Europe/ Chisinau Tiraspol
2=EET 3=MSK<1989-03-25T23:00Z<EEST<2011<+03 4=MSD: Europe/ Kaliningrad
2=EET 3=MSK<1990-06<EEST 4=MSD: Europe/ Kiev Kyiv Uzhgorod Zaporozhye
3=MSK 4=+04<1989-03-25T22:00Z<MSD<1991<+04<1992-03-28T22:00Z<MSD<2011<MSK: Europe/ Kirov
0=WET 1=CET<1977<WEST<1992-09-27T01:00Z<CET<1996-03-31T01:00Z<WEST 2=CEST: Portugal WET Europe/ Lisbon
2=EET 3=MSK<1991-03-30T23:00Z<EEST<2011<+03 4=MSD: Europe/ Minsk
2=EET 3=MSK<1991-03-30T23:00Z<EEST<1992<MSK 4=MSD<2011<MSK: W-SU Europe/ Moscow
2=EET 3=MSK<1989-03-25T23:00Z<EEST 4=MSD: Europe/ Riga Tallinn
2=EET 3=MSK<1992<EEST<1994-09<MSK<1997-03-30T01:00Z<EEST<2014<MSK 4=MSD<2014<MSK: Europe/ Simferopol
1=CET 2=EET<1998-03-29T01:00Z<CEST<1999-10-31T01:00Z<EET 3=MSK<1989-03-25T23:00Z<EEST 4=MSD: Europe/ Vilnius
3=MSK 4=+04<1988-03-26T22:00Z<MSD<1991<+04<1992-03-28T22:00Z<MSD<2011<MSK<2018<+04: Europe/ Volgograd
-10=HST: HST Pacific/ Honolulu Johnston US/ Hawaii
10=GST<2000-12-22T14:00Z<ChST 11=GDT: Pacific/ Guam Saipan
-11=SST: Pacific/ Midway Pago_Pago Samoa US/ Samoa
: Iran Kwajalein NZ-CHAT Singapore Africa/ Casablanca El_Aaiun America/ Araguaina Argentina/Buenos_Aires
 Argentina/Catamarca Argentina/ComodRivadavia Argentina/Cordoba Argentina/Jujuy Argentina/La_Rioja Argentina/Mendoza
 Argentina/Rio_Gallegos Argentina/Salta Argentina/San_Juan Argentina/San_Luis Argentina/Tucuman Argentina/Ushuaia
 Asuncion Bahia Belem Boa_Vista Bogota Buenos_Aires Campo_Grande Caracas Catamarca Cayenne Cordoba Coyhaique Cuiaba
 Eirunepe Fortaleza Godthab Guayaquil Guyana Jujuy La_Paz Lima Maceio Manaus Mendoza Montevideo Noronha Nuuk
 Paramaribo Porto_Acre Porto_Velho Punta_Arenas Recife Rio_Branco Rosario Santarem Santiago Sao_Paulo Scoresbysund
 Antarctica/ Casey Davis DumontDUrville Mawson Palmer Syowa Asia/ Aden Almaty Anadyr Aqtau Aqtobe Ashgabat Ashkhabad
 Atyrau Baghdad Bahrain Baku Bangkok Barnaul Bishkek Brunei Chita Choibalsan Colombo Dacca Dhaka Dili Dubai Dushanbe
 Ho_Chi_Minh Hovd Irkutsk Kabul Kamchatka Kashgar Kathmandu Katmandu Khandyga Krasnoyarsk Kuala_Lumpur Kuching
 Kuwait Magadan Muscat Novokuznetsk Novosibirsk Omsk Oral Phnom_Penh Qatar Qostanay Qyzylorda Rangoon Riyadh Saigon
 Sakhalin Samarkand Singapore Srednekolymsk Tashkent Tbilisi Tehran Thimbu Thimphu Tomsk Ulaanbaatar Ulan_Bator
 Urumqi Ust-Nera Vientiane Vladivostok Yakutsk Yangon Yekaterinburg Yerevan Atlantic/ Cape_Verde South_Georgia
 Stanley Australia/ Eucla Brazil/ Acre DeNoronha East West Chile/ Continental EasterIsland Etc/ GMT+1 GMT+10 GMT+11
 GMT+12 GMT+2 GMT+3 GMT+4 GMT+5 GMT+6 GMT+7 GMT+8 GMT+9 GMT-1 GMT-10 GMT-11 GMT-12 GMT-13 GMT-14 GMT-2 GMT-3 GMT-4
 GMT-5 GMT-6 GMT-7 GMT-8 GMT-9 Europe/ Astrakhan Samara Saratov Ulyanovsk Indian/ Chagos Christmas Cocos Kerguelen
 Mahe Maldives Mauritius Reunion Pacific/ Apia Bougainville Chatham Chuuk Easter Efate Enderbury Fakaofo Fiji
 Funafuti Galapagos Gambier Guadalcanal Kanton Kiritimati Kosrae Kwajalein Majuro Marquesas Nauru Niue Norfolk
 Noumea Palau Pitcairn Pohnpei Ponape Port_Moresby Rarotonga Tahiti Tarawa Tongatapu Truk Wake Wallis Yap
`;
